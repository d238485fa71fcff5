"""Whole heads and neurons, 2:4 patterns and single weights: what accuracy do fast masks keep?

    python benchmarks/mask_granularity.py --seeds 1 2 3 --set threads=1

See `mask_rows` for data, training and results, which go to benchmarks/results/mask-granularity-SOURCE.json. Differences
from the dense model are paired by text, with 95 % intervals by bootstrap over groups. "Random" rows draw what is kept,
in the same pattern.
"""

from pathlib import Path

from mask_options import trained
from mask_rows import Frames, measure_rows, rows_parser
from masks import compared, right
from tables import scored_split

from sparsecbm.api import SparseCBM
from sparsecbm.base.params import Params
from sparsecbm.evaluate.variables import predict_split

STRUCTURED = ["prune.granularity=structured", "prune.core=0"]
TWO_OF_FOUR = ["prune.granularity=2:4", "prune.core=0", "prune.sparsity=0.5"]
RANDOM = ["prune.saliency=random"]
ROWS = {
    "single weights, 50 %": ["prune.sparsity=0.5"],
    "heads and neurons, 50 %": [*STRUCTURED, "prune.sparsity=0.5"],
    "heads and neurons, 50 %, one threshold for all layers": [
        *STRUCTURED,
        "prune.sparsity=0.5",
        "prune.threshold=global",
    ],
    "heads and neurons, 50 %, random": [*STRUCTURED, "prune.sparsity=0.5", *RANDOM],
    "2:4": TWO_OF_FOUR,
    "2:4, random": [*TWO_OF_FOUR, *RANDOM],
    "single weights, 75 %": [],
    "heads and neurons, 75 %": STRUCTURED,
    "heads and neurons, 75 %, random": [*STRUCTURED, *RANDOM],
}


def measure(params: Params, dense: SparseCBM, frames: Frames, folder: Path) -> dict:
    """Train masks and compare them with the dense model."""
    seconds, correct = trained(params, dense, frames)
    test = frames[scored_split(params)]
    scores = compared(correct, right(predict_split(dense, test)), test["group"].to_numpy(), params.seed)
    return {"cpu_seconds": round(seconds, 1), **scores}


def show(seed: int, name: str, row: dict) -> None:
    """Print one row."""
    cells = [
        f"{kind} {100 * row[kind]['difference']:+.1f} "
        f"({100 * row[kind]['interval'][0]:+.1f} to {100 * row[kind]['interval'][1]:+.1f})"
        for kind in ("concepts", "label")
    ]
    print(f"seed {seed} {name:55} {row['cpu_seconds']:6.0f} s  " + ", ".join(cells), flush=True)


def main() -> None:
    """Measure the missing rows, print and write."""
    arguments = rows_parser(__doc__.splitlines()[0], ROWS).parse_args()
    measure_rows("mask-granularity", ROWS, arguments, measure, show)


if __name__ == "__main__":
    main()
