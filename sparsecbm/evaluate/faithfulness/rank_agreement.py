"""Whether two attributions of a text rank its words alike."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau, spearmanr

from sparsecbm.base.metrics import interval, resampled_means
from sparsecbm.evaluate.evidence import Estimate


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b, corrected for ties; nan if either is constant.

    It is the share of word pairs in the same order minus the share in opposite order.
    """
    return float(kendalltau(first, second).statistic) if _vary(first, second) else float("nan")


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; nan if either is constant."""
    return float(spearmanr(first, second).statistic) if _vary(first, second) else float("nan")


def mean_by_concept(
    values: np.ndarray, concepts: Sequence[str], clusters: Sequence[str], resamples: int, seed: int
) -> dict[str, Estimate]:
    """Means over items by concept, and `mean` over the concepts. Concepts without a value are left out.

    Args:
        values: [items]; nan for an item without a value
        concepts, clusters: of each item
    """
    concepts, clusters = np.asarray(concepts), np.asarray(clusters)
    estimates, means, draws = {}, [], []
    for name in dict.fromkeys(concepts.tolist()):
        rows = (concepts == name) & np.isfinite(values)
        if rows.any():
            means.append(values[rows].mean())
            draws.append(resampled_means(values[rows, None], clusters[rows], resamples, seed)[:, 0])
            estimates[name] = Estimate(value=means[-1], interval=interval(draws[-1]))
    if estimates:
        estimates["mean"] = Estimate(value=np.mean(means), interval=interval(np.mean(draws, axis=0)))
    return estimates


def _vary(first: Sequence[float], second: Sequence[float]) -> bool:
    return np.ptp(first) > 0 and np.ptp(second) > 0 if len(first) > 1 else False
