"""What is learnt for a mask: a score for every weight, a change of low rank, or one for each 32 x 32 weights.

    python benchmarks/score_forms.py --seeds 1 2 3 --set threads=1 [--data FOLDER]

See `mask_rows` for data, training and results, which go to benchmarks/results/score-forms-SOURCE.json. Differences
from the dense model are paired by text, with 95 % intervals by bootstrap over groups. The controls are scores that stay
at their start, and the masks of the first row shuffled within each layer. `bytes` is what training keeps for each
weight and concept: scores, gradients and moments of AdamW, and the start.
"""

import math
import time
from pathlib import Path

import torch
from mask_rows import Frames, measure_rows, rows_parser
from masks import compared, right
from tables import scored_split

from sparsecbm.api import SparseCBM
from sparsecbm.base.params import Params
from sparsecbm.evaluate.specificity.specificity import specificity
from sparsecbm.evaluate.variables import predict_split
from sparsecbm.pruning.fit import PruneOptions, fit_masks
from sparsecbm.pruning.score_forms import start_scores
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import TrainingRun

FULL, RANDOM = "full", "random masks"
ROWS = {
    FULL: [],
    "low rank, 8": ["prune.scores=low_rank"],
    "low rank, 2": ["prune.scores=low_rank", "prune.score_rank=2"],
    "blocks": ["prune.scores=blocks"],
    "scores that do not learn": ["prune.score_learning_rate=1e-12"],
    RANDOM: ["prune.control=true"],
}
RESAMPLES = 1000
ADAMW = 16  # bytes of a learnt number in float32: itself, its gradient and two moments


def kept_bytes(params: Params, model: SparseCBM) -> float:
    """Bytes that training keeps for the scores of each weight and concept."""
    weights = learnt = 0
    for shape in model.masks.shapes.values():
        scores = start_scores(torch.zeros(shape), params.prune, 0)
        weights += math.prod(shape)
        learnt += sum(value.numel() for value in scores.parameters.values())
    return ADAMW * learnt / weights + (params.prune.scores != "full")  # a start takes one byte


def measure(params: Params, dense: SparseCBM, frames: Frames, folder: Path) -> dict:
    """Train masks and measure them. The control shuffles the masks of the row `full`."""
    control_of = folder.with_name(FULL) / "events" if params.prune.control else None
    options = PruneOptions(params.prune, params.finetune, control_of)
    start = time.process_time()
    model = fit_masks(
        dense, frames["train"], frames["validation"], options, TrainingRun(params.seed, Checkpoints(folder))
    ).model.to("cpu")
    seconds = time.process_time() - start
    test, seed = frames[scored_split(params)], params.seed
    measured = specificity(model, frames["train"], test, params.prune.probe_texts, RESAMPLES, seed).to_dict()
    return {
        "cpu_seconds": round(seconds, 1),
        "bytes": 0 if control_of else round(kept_bytes(params, model), 2),
        **compared(
            right(predict_split(model, test)), right(predict_split(dense, test)), test["group"].to_numpy(), seed
        ),
        "swap": measured["swap"]["gap"]["mean"],
        "probe": measured["probe"]["gap"]["mean"],
        "ablation": measured["ablation"]["selectivity"]["mean"],
        "jaccard": measured["overlap"]["jaccard"],
    }


def show(seed: int, name: str, row: dict) -> None:
    """Print one row."""
    cells = [f"{kind} {100 * row[kind]['difference']:+.1f}" for kind in ("concepts", "label")]
    cells += [f"{kind} {100 * row[kind]['value']:.1f}" for kind in ("swap", "probe", "ablation")]
    print(
        f"seed {seed} {name:26} {row['cpu_seconds']:6.0f} s {row['bytes']:6.2f} bytes  " + ", ".join(cells), flush=True
    )


def main() -> None:
    """Measure the missing rows, print and write."""
    arguments = rows_parser(__doc__.splitlines()[0], ROWS).parse_args()
    # The control shuffles the masks of the first row, so the two are measured together.
    measure_rows("score-forms", ROWS, arguments, measure, show, (FULL, RANDOM))


if __name__ == "__main__":
    main()
