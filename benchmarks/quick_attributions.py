"""Quick attribution methods beside exact ones: is the quick one better than chance, and what does it cost?

    python benchmarks/quick_attributions.py --name sparse --model models/sparse [--texts 20]

The texts are drawn from the validation split, which no other table of explanations scores, so a method can be chosen
here. Every method scores the words of all concepts. The figures are means over the concepts, over both measures
(comprehensiveness and sufficiency) and over the three operators: the share of five matched random orders that a method
beats (.5 is chance), with 95 % intervals by bootstrap over groups of texts. Results go to
benchmarks/results/quick-attributions-NAME.json. CPU time is that of one text, with one thread.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tables import WORKSPACE

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import read_parquet, write_json
from sparsecbm.base.metrics import interval, resampled_means
from sparsecbm.evaluate.faithfulness.aopc import find_items, measure_aopc, random_orders, rank_words
from sparsecbm.evaluate.faithfulness.infidelity import subject_of_predictions
from sparsecbm.evaluate.faithfulness.perturbations import OPERATORS, Perturber
from sparsecbm.evaluate.faithfulness.randomisation import win_rates
from sparsecbm.explain.gradients import MIDDLE, integrated_gradients, mid_path_gradients
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.explain.references import leave_one_out, random_scores
from sparsecbm.explain.subject import Subject, TokenScores, prepared
from sparsecbm.explain.words import tokenize_words

RESULTS = Path(__file__).parent / "results"
DRAWS, SHARES, RESAMPLES = 5, [0.05, 0.1, 0.2, 0.5], 1000
POINTS = [(1.0,), (0.3,), (0.4,), (0.5,), (0.6,), (0.7,), (0.4, 0.6), MIDDLE]
METHODS: dict[str, Callable[[Subject], TokenScores]] = {
    **{f"gradient at {', '.join(map(str, points))}": partial(mid_path_gradients, points=points) for points in POINTS},
    **{f"{n} nodes": partial(integrated_gradients, steps=n, tolerance=np.inf, max_steps=n) for n in (2, 4, 16)},
    "leave-one-out": leave_one_out,
    "random": partial(random_scores, seed=0),
}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--model", type=Path, default=WORKSPACE.sparse)
    parser.add_argument("--table", type=Path, default=WORKSPACE.annotated / "validation.parquet")
    parser.add_argument("--texts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, seed = SparseCBM.from_pretrained(arguments.model).eval(), arguments.seed
    frame = read_parquet(arguments.table).sample(arguments.texts, random_state=seed)
    with prepared(model) as ready:
        texts = tokenize_words(ready.tokenizer, frame["text"].tolist(), ready.settings.max_length)
        logits = ready.logits(frame["text"].tolist())
        items = find_items(ready, texts, logits)
        orders = [[] for _ in items]
        seconds = {}
        for name, method in METHODS.items():
            subject = subject_of_predictions(ready, texts, logits, AttributionOptions())
            start = time.process_time()
            scores = method(subject).tokens
            seconds[name] = (time.process_time() - start) / len(texts)
            for item, item_orders in zip(items, orders, strict=True):
                text, concept = texts[item.text_index], subject.concepts.index(item.concept)
                words, _ = text.merged(scores[item.text_index, concept, : len(text.ids)])
                item_orders.append(rank_words(words))
        for item, item_orders in zip(items, orders, strict=True):
            item_orders.extend(random_orders(texts[item.text_index], DRAWS, seed))
        perturber = Perturber(ready.tokenizer, texts, OPERATORS, seed)
        wins = []  # [operators x measures], each [items, methods]
        for operator in perturber.operators:
            falls = measure_aopc(ready, perturber, items, orders, operator, SHARES)
            for values, more_is_better in ((falls.comprehensiveness, True), (falls.sufficiency, False)):
                at_random = values[:, len(METHODS) :]
                columns = [win_rates(values[:, i], at_random, more_is_better) for i in range(len(METHODS))]
                wins.append(np.stack(columns, axis=1))
    means = np.mean(wins, axis=0)
    concepts, groups = np.array([item.concept for item in items]), frame["group"].astype(str).to_numpy()
    of_items = groups[[item.text_index for item in items]]
    rows = [concepts == name for name in dict.fromkeys(concepts.tolist())]
    values = np.mean([means[row].mean(0) for row in rows], axis=0)
    draws = np.nanmean([resampled_means(means[row], of_items[row], RESAMPLES, seed) for row in rows], axis=0)
    result = {
        "texts": len(texts),
        "items": len(items),
        "methods": {
            name: {"win_rate": {"value": float(values[i]), "interval": interval(draws[:, i])}, "cpu_s": seconds[name]}
            for i, name in enumerate(METHODS)
        },
    }
    for name, method in result["methods"].items():
        low, high = method["win_rate"]["interval"]
        print(f"{name:28} beats {method['win_rate']['value']:.3f} ({low:.3f} to {high:.3f}), {method['cpu_s']:.3f} s")
    write_json(RESULTS / f"quick-attributions-{arguments.name}.json", result)


if __name__ == "__main__":
    main()
