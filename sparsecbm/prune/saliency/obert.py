"""Optimal Brain Surgeon with a block Fisher matrix (oBERT, Kurtic et al., arXiv 2203.07259, section 3)."""

from torch import Tensor

from sparsecbm.prune.fisher import inverse_diagonal
from sparsecbm.prune.saliency.base import Settings, check_shapes


def score(weights: Tensor, gradients: Tensor, settings: Settings, where: str) -> Tensor:
    """rho_j = w_j^2 / (2 [F^-1]_jj): the rise of the loss when w_j alone is dropped and its block makes up for it.

    Args:
        weights: [n]
        gradients: [m, n]

    Raises:
        ConfigError: block, damping or memory are out of range.
        PruningError: gradients are not finite, all zero, too large for the damping, or of another shape.
    """
    check_shapes(weights, gradients, where)
    inverse = inverse_diagonal(gradients, settings.block, settings.damping, settings.memory_mb, where)
    return weights.float().square().div_(inverse.mul_(2).float())
