"""Whether a saliency ranks weights as their magnitude does. Its gradients then have no effect.

If the damping is far above the squared gradients, F is damping * I and rho_j = damping * w_j^2 / 2. oBERT then prunes
by magnitude, and the masks of all concepts are the same.
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
    """Spearman's rank correlation of scores with |w|; NaN if one is constant or there are fewer than two weights.

    More than 100,000 weights are sampled down to that number. The sample depends only on the number of weights.

    Args:
        scores: of one or more layers, in any shape
        weights: of the same shape
        mask: True for the weights to compare; weights that are pruned already do not take part in the next choice

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
        # A random sample, since even steps could hit the same few columns of a weight again and again.
        chosen = torch.from_numpy(np.random.default_rng(0).integers(len(values), size=SAMPLE)).to(values.device)
        values, sizes = values[chosen], sizes[chosen]
    ranks = rankdata(values.double().cpu().numpy()), rankdata(sizes.double().abs().cpu().numpy())
    if any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def warn_if_magnitude(correlation: float, where: str) -> None:
    """Give a DegenerateSaliencyWarning if the correlation with magnitude is above .99.

    Args:
        correlation: of `magnitude_correlation`
        where: names the layer and the concept
    """
    if correlation > LIMIT:
        warnings.warn(
            f"{where}: the saliency ranks weights as their magnitude does (rank correlation {correlation:.4f}), "
            "so gradients have no effect and the masks of all concepts are alike; "
            "lower prune.damping or raise prune.gradients",
            DegenerateSaliencyWarning,
            stacklevel=2,
        )
