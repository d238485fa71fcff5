"""Do trainings with other seeds find the same masks? Overlaps (Jaccard) between models, beside what chance would give.

    python benchmarks/mask_agreement.py --seeds 1 2 3 --set threads=1 [--data FOLDER]

Masks are trained from one dense model (of the first seed), once for each seed, with the settings of the profile
sparse-75. The dense models of the other seeds get masks with their own seeds. So `one dense model` compares masks that
differ by their seed alone, and `other dense models` those whose weights differ, too.

`same` compares the masks of one concept in two models, `other` those of two concepts in two models. `exclusive` does so
for the weights that one concept alone keeps. Figures are means over pairs of models, and over concepts or pairs of
concepts, each over all masked weights. `chance` is what random masks of these sizes give: with shares a and b it is
ab / (a + b - ab). `concepts` is the accuracy of each model, as the mean of its concepts. All goes to
benchmarks/results/mask-agreement-SOURCE.json.
"""

from itertools import permutations
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
import torch
from cebab import dense_model, subject
from masks import RESULTS, right, settings_of
from tables import annotated, configured, scored_split, source_parser
from torch import Tensor

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import write_json
from sparsecbm.base.params import Params
from sparsecbm.evaluate.variables import predict_split
from sparsecbm.pruning.fit import PruneOptions, fit_masks
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import TrainingRun
from sparsecbm.train.reproducible import reproducible

PROFILE = "sparse-75"


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


def trained(dense_params: Params, mask_params: Params) -> tuple[dict[str, Tensor], float]:
    """Train masks from the dense model of one seed with another; return them and the accuracy of the concepts."""
    seed = mask_params.seed
    with reproducible(seed, mask_params.threads), TemporaryDirectory() as scratch:
        frames, concept_set = annotated(dense_params)
        dense = dense_model(dense_params, frames, concept_set)
        options = PruneOptions(mask_params.prune, mask_params.finetune)
        run = TrainingRun(seed, Checkpoints(Path(scratch)))
        model = fit_masks(dense, frames["train"], frames["validation"], options, run).model.to("cpu")
        accuracy = np.nanmean(right(predict_split(model, frames[scored_split(mask_params)])), axis=0)[1:].mean()
        return joined(model), float(accuracy)


def compared(runs: list[tuple[dict[str, Tensor], float]]) -> dict:
    """Return the figures of some models."""
    masks = [of_run for of_run, _ in runs]
    return {
        "concepts": [round(accuracy, 4) for _, accuracy in runs],
        "all": agreement(masks),
        "exclusive": agreement([exclusive(of_model) for of_model in masks]),
    }


def main() -> None:
    """Measure, print and write."""
    arguments = source_parser(__doc__.splitlines()[0]).parse_args()
    profiles = ("cebab", PROFILE) if arguments.data else (PROFILE,)
    first, *others = (configured(arguments.data, "joint", seed, arguments.set, profiles) for seed in arguments.seeds)
    start = trained(first, first)
    result = {
        "settings": settings_of(first),
        "one dense model": compared([start, *(trained(first, params) for params in others)]),
        "other dense models": compared([start, *(trained(params, params) for params in others)]),
    }
    write_json(RESULTS / f"mask-agreement-{subject(first)}.json", result)
    for name in ("one dense model", "other dense models"):
        print(name, result[name])


if __name__ == "__main__":
    main()
