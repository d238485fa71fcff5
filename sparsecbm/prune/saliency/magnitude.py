"""The size of a weight, which knows of no concept: what a saliency with gradients has to beat."""

from torch import Tensor

from sparsecbm.prune.saliency.base import Settings


def score(weights: Tensor, gradients: Tensor | None, settings: Settings, where: str) -> Tensor:
    """|w_j|, [n]."""
    return weights.float().abs()
