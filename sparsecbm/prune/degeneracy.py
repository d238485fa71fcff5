"""Whether a saliency ranks weights as their magnitude does, in which case its gradients have no say.

If the damping is far above the squared gradients, F is damping * I and rho_j = damping * w_j^2 / 2. oBERT then prunes by
magnitude, and the masks of all concepts are the same.
"""

import warnings

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from sparsecbm.base.errors import DegenerateSaliencyWarning, PruningError

SAMPLE = 100_000
LIMIT = 0.99


def magnitude_correlation(scores: Tensor, weights: Tensor, mask: Tensor | None = None) -> float:
    """Spearman's rank correlation of scores with |w|; NaN where one of them is constant or there are no two weights.

    Of more than 100,000 weights it takes a sample of that size, always the same for the same number of weights.

    Args:
        scores: of one layer, or of several in a row, in any shape
        weights: of the same shape
        mask: True for the weights to compare; those that are pruned already have no say in what goes next

    Raises:
        PruningError: shapes differ.
    """
    if scores.shape != weights.shape or (mask is not None and mask.shape != weights.shape):
        raise PruningError(f"scores {list(scores.shape)} and weights {list(weights.shape)} do not fit")
    values, sizes = scores.reshape(-1), weights.reshape(-1)
    if mask is not None:
        values, sizes = values[mask.reshape(-1)], sizes[mask.reshape(-1)]
    if len(values) < 2:
        return float("nan")
    if len(values) > SAMPLE:
        # Drawn at random: even steps could fall on the same few columns of a weight over and over.
        chosen = torch.from_numpy(np.random.default_rng(0).integers(len(values), size=SAMPLE)).to(values.device)
        values, sizes = values[chosen], sizes[chosen]
    ranks = rankdata(values.double().cpu().numpy()), rankdata(sizes.double().abs().cpu().numpy())
    if any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def warn_if_magnitude(correlation: float, where: str) -> None:
    """Warn by DegenerateSaliencyWarning where the correlation with magnitude is above .99.

    Args:
        correlation: of `magnitude_correlation`
        where: the layer and the concept
    """
    if correlation > LIMIT:
        warnings.warn(
            f"{where}: the saliency ranks weights as their magnitude does (rank correlation {correlation:.4f}), "
            "so gradients have no say and the masks of all concepts are alike; "
            "lower prune.damping or raise prune.gradients",
            DegenerateSaliencyWarning,
            stacklevel=2,
        )
