"""Faithfulness of explanations: all measures of the stage `explain`, on larger samples.

    python benchmarks/faithfulness.py --name restaurants --model models/sparse --table data/annotated/test.parquet
    python benchmarks/faithfulness.py --name cebab --model FOLDER --cebab FOLDER

With `--cebab` the table is `dev` of the released JSON files. The seed draws texts and pairs. Every method explains each
predicted state other than `unknown`. Edited words come from pairs whose edit changes a single run of words. An
alignment of both texts, word by word, finds this run. Results go to benchmarks/results/faithfulness-NAME.json. CPU time
excludes time that the machine spent on other programs.
"""

import argparse
import time
from pathlib import Path

import pandas as pd
import torch
from tables import WORKSPACE, annotated, configured

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import read_parquet, sha256_file, write_json
from sparsecbm.base.params import load_params
from sparsecbm.evaluate.faithfulness.faithfulness import FaithfulnessScores, FaithfulnessSettings, measure_faithfulness
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.train.reproducible import reproducible

RESULTS = Path(__file__).parent / "results"


def table(arguments: argparse.Namespace) -> pd.DataFrame:
    """Return the annotated table that the texts come from."""
    if arguments.cebab is None:
        return read_parquet(arguments.table)
    frames, _ = annotated(configured(arguments.cebab, "joint", arguments.seed, []))
    return frames["dev"].reset_index(drop=True)


def show(scores: FaithfulnessScores) -> None:
    """Print means over the concepts, compared with random attributions."""
    print(f"{scores.items} items of {scores.texts} texts, {scores.edits} edits")
    for method, method_scores in scores.methods.items():
        print(method)
        for measure in ("comprehensiveness", "sufficiency"):
            for operator, by_concept in getattr(method_scores, measure).items():
                mean, (low, high) = by_concept["mean"], by_concept["mean"].excess_interval
                print(
                    f"  {measure:18} {operator:8} {mean.value:6.3f}, random {mean.random:.3f}, "
                    f"ahead {mean.excess:+.3f} ({low:+.3f} to {high:+.3f}), wins {mean.win_rate:.3f}, p {mean.p:.4f}"
                )
        for name in ("kendall_tau", "infidelity", "max_sensitivity"):
            if mean := getattr(method_scores, name).get("mean"):
                print(f"  {name:27} {mean.value:6.3f} ({mean.interval[0]:.3f} to {mean.interval[1]:.3f})")
        for concept, ranks in method_scores.edited_words.items():
            named = {"hit@1": ranks.hit_at_1, "hit@3": ranks.hit_at_3, "MRR": ranks.reciprocal_rank}
            cells = ", ".join(
                f"{name} {rank.value:.3f} ({rank.interval[0]:.3f} to {rank.interval[1]:.3f}; chance {rank.chance:.3f})"
                for name, rank in named.items()
            )
            print(f"  edited words, {concept:12} {ranks.edits:4} edits: {cells}")
    for method, steps in scores.sanity.items():
        cells = ", ".join(f"{step} {by_concept['mean'].value:+.2f}" for step, by_concept in steps.items() if by_concept)
        print(f"left of {method} when randomised: {cells}")


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--model", type=Path, default=WORKSPACE.sparse)
    parser.add_argument("--table", type=Path, default=WORKSPACE.annotated / "test.parquet")
    parser.add_argument("--cebab", type=Path)
    parser.add_argument("--texts", type=int, default=30)
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--draws", type=int, default=5, help="random attributions that each one is compared with")
    parser.add_argument("--max-steps", type=int, default=64, help="of integrated gradients")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    with reproducible(arguments.seed, arguments.threads):
        model, frame = SparseCBM.from_pretrained(arguments.model).eval(), table(arguments)
        sizes = {"texts": arguments.texts, "edits": arguments.edits, "random_draws": arguments.draws}
        params = load_params(WORKSPACE.params).faithfulness.model_copy(update=sizes)
        options = AttributionOptions(max_steps=arguments.max_steps)
        sample = frame.sample(min(params.texts, len(frame)), random_state=arguments.seed).reset_index(drop=True)
        wall, cpu = time.perf_counter(), time.process_time()
        settings = FaithfulnessSettings(params, options, seed=arguments.seed)
        scores = measure_faithfulness(model, sample, settings, edited=frame)
        spent = {"clock_s": round(time.perf_counter() - wall, 1), "cpu_s": round(time.process_time() - cpu, 1)}
        show(scores)
        print(spent)
        about = {"sha256": sha256_file(arguments.model / "model.safetensors"), "masked": model.masked}
        written = {**scores.to_dict(), "model": about, "time": spent, "threads": torch.get_num_threads()}
        write_json(RESULTS / f"faithfulness-{arguments.name}.json", written)


if __name__ == "__main__":
    main()
