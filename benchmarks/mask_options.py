"""Options that make K masks affordable, and their cost in accuracy: one option changes at a time.

    python benchmarks/mask_options.py --seed 1 --set threads=1

The data are the embedded reviews. Training starts from the dense model that `benchmarks/masks.py` keeps. All rows make
the same number of updates at the same batch size. Seconds are CPU seconds of the training under masks, including the
fit of the heads. Accuracies are on `test`. Differences from the first row are paired by text, with 95 % intervals by
bootstrap over groups. Results go to benchmarks/results/mask-options.json.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from cebab import dense_model
from masks import RESULTS, compared, right
from tables import annotated, configured, scored_split

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import write_json
from sparsecbm.base.params import Params
from sparsecbm.evaluate.variables import predict_split
from sparsecbm.pruning.fit import PruneOptions, fit_masks
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import TrainingRun
from sparsecbm.train.reproducible import reproducible

# All other rows are compared with the first row.
OPTIONS = {
    "default: sampled, blocks 0 to 2 shared": [],
    "split": ["prune.concepts=split"],
    "all": ["prune.concepts=all"],
    "no shared blocks": ["prune.masked_from=0"],
    "float32": ["finetune.precision=float32"],
    "bf16": ["finetune.precision=bf16"],
}


def trained(params: Params, dense: SparseCBM, frames: dict) -> tuple[float, np.ndarray]:
    """Return the CPU seconds of training, and which predictions on the scored split are correct."""
    with reproducible(params.seed, params.threads):
        options = PruneOptions(params.prune, params.finetune)
        with TemporaryDirectory() as folder:
            start = time.process_time()
            run = TrainingRun(params.seed, Checkpoints(Path(folder)))
            result = fit_masks(dense, frames["train"], frames["validation"], options, run)
            seconds = time.process_time() - start
        return seconds, right(predict_split(result.model.to("cpu"), frames[scored_split(params)]))


def main() -> None:
    """Train with each option in turn, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other parameters")
    arguments = parser.parse_args()
    results, first = {}, None
    for name, over in OPTIONS.items():
        params = configured(None, "joint", arguments.seed, [*arguments.set, *over], ())
        frames, concept_set = annotated(params)
        seconds, correct = trained(params, dense_model(params, frames, concept_set), frames)
        first = correct if first is None else first
        scores = compared(correct, first, frames[scored_split(params)]["group"].to_numpy(), arguments.seed)
        results[name] = {"cpu_seconds": round(seconds, 1)} | {
            kind: {"accuracy": s["sparse"], "difference": s["difference"], "interval": s["interval"]}
            for kind, s in scores.items()
        }
        parts = [
            f"{kind} {s['accuracy']:.3f} ({100 * s['difference']:+.1f})" for kind, s in list(results[name].items())[1:]
        ]
        print(f"{name:40} {seconds:7.1f} s  " + ", ".join(parts), flush=True)
        write_json(RESULTS / "mask-options.json", results)


if __name__ == "__main__":
    main()
