"""Optimal Brain Surgeon with a diagonal Fisher matrix: oBERT with blocks of one weight, in closed form."""

import torch
from torch import Tensor

from sparsecbm.prune.fisher import check_gradients, check_settings
from sparsecbm.prune.saliency.base import Settings, check_shapes


def score(weights: Tensor, gradients: Tensor, settings: Settings, where: str) -> Tensor:
    """rho_j = w_j^2 (damping + (1/m) sum_i g_ij^2) / 2, since [F^-1]_jj = 1 / F_jj where F is diagonal.

    Args:
        weights: [n]
        gradients: [m, n]

    Raises:
        ConfigError: damping is out of range.
        PruningError: gradients are not finite, all zero or of another shape.
    """
    check_settings(1, settings.damping)
    check_shapes(weights, gradients, where)
    check_gradients(gradients, where)
    squares = torch.zeros_like(weights, dtype=torch.float32)
    for row in gradients:  # one row at a time: the square of all would take as much memory as the gradients
        squares.addcmul_(row.float(), row.float())
    return squares.div_(len(gradients)).add_(settings.damping).mul_(weights.float().square()).div_(2)
