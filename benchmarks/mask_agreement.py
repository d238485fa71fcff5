"""Do trainings with other seeds find the same masks? Overlaps (Jaccard) between models, beside what chance would give.

    python benchmarks/mask_agreement.py --models MODEL MODEL [MODEL ...]

The models differ in the seeds of fine-tuning and of masks. `same` compares the masks of one concept in two models,
`other` those of two concepts in two models. `exclusive` does so for the weights that one concept alone keeps. Figures
are means over pairs of models, and over concepts or pairs of concepts, each over all masked weights. `chance` is what
random masks of these sizes give: with shares a and b it is ab / (a + b - ab).
"""

import argparse
from itertools import permutations
from pathlib import Path
from statistics import fmean

import torch
from masks import RESULTS
from torch import Tensor

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import write_json

PATH = RESULTS / "mask-agreement.json"


def joined(model: SparseCBM) -> dict[str, Tensor]:
    """Return the mask of each concept over all layers, [weights], bool."""
    return {mask.name: torch.cat([kept.reshape(-1) for _, kept in mask.items()]) for mask in model.masks}


def exclusive(masks: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that one concept alone keeps."""
    counts = torch.stack(list(masks.values())).sum(0)
    return {name: mask & (counts == 1) for name, mask in masks.items()}


def jaccard(a: Tensor, b: Tensor) -> float:
    """Return the share of the weights in either mask that are in both."""
    return int((a & b).sum()) / int((a | b).sum())


def chance(a: Tensor, b: Tensor) -> float:
    """Return the Jaccard index that random masks of these sizes have on average, for many weights."""
    share_a, share_b = float(a.float().mean()), float(b.float().mean())
    return share_a * share_b / (share_a + share_b - share_a * share_b)


def agreement(models: list[dict[str, Tensor]]) -> dict[str, float]:
    """Return the mean overlap of one concept, and of two concepts, in two models."""
    pairs = [(a, b) for a, b in permutations(models, 2)]
    same = [(a[name], b[name]) for a, b in pairs for name in a]
    other = [(a[name], b[second]) for a, b in pairs for name in a for second in b if second != name]
    figures = {
        "same": fmean(jaccard(*pair) for pair in same),
        "other": fmean(jaccard(*pair) for pair in other),
        "chance": fmean(chance(*pair) for pair in same),
    }
    return {name: round(figure, 4) for name, figure in figures.items()}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", type=Path, required=True, help="folders of sparse models")
    models = [joined(SparseCBM.from_pretrained(folder)) for folder in parser.parse_args().models]
    result = {"models": len(models), "all": agreement(models), "exclusive": agreement([exclusive(m) for m in models])}
    write_json(PATH, result)
    for kind in ("all", "exclusive"):
        print(kind, result[kind])


if __name__ == "__main__":
    main()
