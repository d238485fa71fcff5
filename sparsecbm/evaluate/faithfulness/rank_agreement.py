"""Whether two attributions of a text rank its words alike."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau, spearmanr


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b, corrected for ties; nan if either is constant.

    It is the share of word pairs in the same order minus the share in opposite order.
    """
    return float(kendalltau(first, second).statistic) if _vary(first, second) else float("nan")


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; nan if either is constant."""
    return float(spearmanr(first, second).statistic) if _vary(first, second) else float("nan")


def _vary(first: Sequence[float], second: Sequence[float]) -> bool:
    return np.ptp(first) > 0 and np.ptp(second) > 0 if len(first) > 1 else False
