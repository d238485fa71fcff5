"""How few heads and neurons keep a prediction, beside random sets of the same size.

    python benchmarks/sufficient_parts.py --model models/sparse [--texts 30]

The texts are drawn from the test split. Predictions that stay without any head and neuron need no set; all other
figures are about the rest. Intervals are 95 %, by bootstrap over groups of texts. Results go to
benchmarks/results/sufficient-parts.json. CPU time is that of one text with all its concepts, with one thread.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from tables import WORKSPACE

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import read_parquet, write_json
from sparsecbm.base.metrics import interval, resampled_means
from sparsecbm.explain.sufficient_parts import find_sufficient_parts

RESULT = Path(__file__).parent / "results" / "sufficient-parts.json"
RESAMPLES = 1000


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=WORKSPACE.sparse)
    parser.add_argument("--table", type=Path, default=WORKSPACE.annotated / "test.parquet")
    parser.add_argument("--texts", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = SparseCBM.from_pretrained(arguments.model).eval()
    frame = read_parquet(arguments.table).sample(arguments.texts, random_state=arguments.seed)
    start = time.process_time()
    found = find_sufficient_parts(model, frame["text"].tolist(), seed=arguments.seed)
    seconds = (time.process_time() - start) / len(frame)
    pairs = [
        (group, each)
        for group, by_concept in zip(frame["group"].astype(str), found, strict=True)
        for each in by_concept.values()
    ]
    with_parts = [(group, each) for group, each in pairs if each.parts]
    groups = np.array([group for group, _ in with_parts])
    # Without a set, the prediction changes if the state is not the one that the set alone gives.
    columns = {
        "kept_by_random_sets": [each.only.random_kept for _, each in with_parts],
        "changed_without": [float(each.without.state != each.only.state) for _, each in with_parts],
        "changed_without_random_sets": [1 - each.without.random_kept for _, each in with_parts],
        "probability_with_set": [each.only.probability for _, each in with_parts],
        "probability_with_random_sets": [each.only.random_probability for _, each in with_parts],
    }
    values = np.array(list(columns.values())).T
    draws = resampled_means(values, groups, RESAMPLES, arguments.seed)
    sizes = [len(each.parts) for _, each in with_parts]
    result = {
        "texts": len(frame),
        "predictions": len(pairs),
        "need_parts": len(with_parts),
        "parts_of_a_subnetwork": pairs[0][1].heads + pairs[0][1].neurons,
        "size": {"median": median(sizes), "most": max(sizes)},
        "heads": sum(part.kind == "head" for _, each in with_parts for part in each.parts) / sum(sizes),
        "cpu_s": seconds,
        **{
            name: {"value": float(values[:, i].mean()), "interval": interval(draws[:, i])}
            for i, name in enumerate(columns)
        },
    }
    for name, figure in result.items():
        print(f"{name}: {figure}")
    write_json(RESULT, result)


if __name__ == "__main__":
    main()
