"""Do two attributions of a text rank its words alike?"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau, spearmanr

from sparsecbm.base.metrics import interval, resampled_means
from sparsecbm.evaluate.evidence import Estimate


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b, pairs of words in the same order less others, corrected for ties; nan for a constant."""
    return float(kendalltau(first, second).statistic) if _vary(first, second) else float("nan")


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's correlation of ranks; nan for a constant."""
    return float(spearmanr(first, second).statistic) if _vary(first, second) else float("nan")


def mean_by_concept(
    values: np.ndarray, concepts: Sequence[str], clusters: Sequence[str], resamples: int, seed: int
) -> dict[str, Estimate]:
    """Means over items by concept, for those that have items with a value, and `mean` over these.

    Args:
        values: [items]; nan where an item has none
        concepts, clusters: of each item
    """
    concepts, clusters = np.asarray(concepts), np.asarray(clusters)
    found, means, draws = {}, [], []
    for name in dict.fromkeys(concepts.tolist()):
        rows = (concepts == name) & np.isfinite(values)
        if rows.any():
            means.append(values[rows].mean())
            draws.append(resampled_means(values[rows, None], clusters[rows], resamples, seed)[:, 0])
            found[name] = Estimate(value=means[-1], interval=interval(draws[-1]))
    if found:
        found["mean"] = Estimate(value=np.mean(means), interval=interval(np.mean(draws, axis=0)))
    return found


def _vary(first: Sequence[float], second: Sequence[float]) -> bool:
    return np.ptp(first) > 0 and np.ptp(second) > 0 if len(first) > 1 else False
