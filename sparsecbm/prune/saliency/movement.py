"""Movement (Sanh et al., arXiv 2005.07683, section 4): weights that the loss pushes away from zero stay."""

from torch import Tensor

from sparsecbm.prune.fisher import check_gradients
from sparsecbm.prune.saliency.base import Settings, check_shapes


def score(weights: Tensor, gradients: Tensor, settings: Settings, where: str) -> Tensor:
    """-w_j sum_i g_ij: positive where a step of descent would make |w_j| larger.

    This is what gradients of one moment say. Scores of several moments add up, which is the caller's to do.

    Args:
        weights: [n]
        gradients: [m, n]

    Raises:
        PruningError: gradients are not finite, all zero or of another shape.
    """
    check_shapes(weights, gradients, where)
    check_gradients(gradients, where)
    return gradients.sum(0).float().mul_(weights.float()).neg_()
