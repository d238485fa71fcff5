"""How far two samples of one figure are apart: an effect with a meaning of its own, and a p-value."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency, fisher_exact, ks_2samp, mannwhitneyu

LEAST_EXPECTED = 5.0  # Cochran's rule: below it, the chi-square distribution is too far off


@dataclass(frozen=True)
class Shift:
    """A difference of two samples.

    Attributes:
        effect: its size; the unit depends on the figure
        p: p-value of the hypothesis that there is none
    """

    effect: float
    p: float


NONE = Shift(0.0, 1.0)


def compare_counts(reference: np.ndarray, window: np.ndarray) -> Shift:
    """Pearson's chi-square test of homogeneity of two rows of counts, [states]; effect: total variation distance.

    The rarest states are pooled until each expects at least five texts. Two states that still expect fewer get
    Fisher's exact test.
    """
    if not reference.sum() or not window.sum():
        return NONE
    distance = float(np.abs(reference / reference.sum() - window / window.sum()).sum() / 2)
    table = _pooled(np.stack([reference, window]))
    if table.shape[1] < 2:
        return Shift(distance, 1.0)
    if table.shape[1] == 2 and _expected(table).min() < LEAST_EXPECTED:
        return Shift(distance, float(fisher_exact(table).pvalue))
    return Shift(distance, float(chi2_contingency(table, correction=False).pvalue))


def compare_distributions(reference: np.ndarray, window: np.ndarray) -> Shift:
    """Two-sample Kolmogorov-Smirnov test of two samples, [texts]; effect: the largest gap of their distributions."""
    result = ks_2samp(reference, window, method="asymp")
    return Shift(float(result.statistic), float(result.pvalue))


def compare_means(reference: np.ndarray, window: np.ndarray) -> Shift:
    """Mann-Whitney test of two samples, [texts], with a correction for ties; effect: the distance of their means."""
    effect = abs(float(window.mean() - reference.mean()))
    if np.ptp(np.concatenate([reference, window])) == 0:
        return Shift(effect, 1.0)
    return Shift(effect, float(mannwhitneyu(window, reference, method="asymptotic").pvalue))


def _expected(table: np.ndarray) -> np.ndarray:
    """Expected counts of the smaller row, [states]."""
    rows = table.sum(1)
    return table.sum(0) * rows.min() / rows.sum()


def _pooled(table: np.ndarray) -> np.ndarray:
    """Counts [2, states] without empty states, the rarest ones added together until they expect enough texts."""
    table = table[:, table.sum(0) > 0]
    while table.shape[1] > 2 and _expected(table).min() < LEAST_EXPECTED:
        order = np.argsort(table.sum(0), kind="stable")
        table = np.column_stack([table[:, order[0]] + table[:, order[1]], table[:, np.sort(order[2:])]])
    return table
