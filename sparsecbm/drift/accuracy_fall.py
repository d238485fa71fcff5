"""Whether an accuracy fell, given what it depends on."""

import numpy as np
from scipy.stats import chi2

from sparsecbm.drift.shift import NONE, Shift


def compare_accuracy(reference: np.ndarray, window: np.ndarray) -> Shift:
    """Mantel and Haenszel's test of two accuracies within strata (Journal of the National Cancer Institute, 1959).

    A change of how frequent the strata are changes neither effect nor p-value, so it is not taken for a fall.

    Args:
        reference, window: [strata, 2], texts that are wrong and right

    Returns:
        effect: how far the accuracy fell, weighted by the window's strata; negative where it rose
    """
    both = (reference.sum(1) > 0) & (window.sum(1) > 0)
    reference, window = reference[both].astype(float), window[both].astype(float)
    if not both.any():
        return NONE
    of_window, of_reference = window.sum(1), reference.sum(1)
    texts = of_window + of_reference
    falls = reference[:, 1] / of_reference - window[:, 1] / of_window
    effect = float((falls * of_window).sum() / of_window.sum())
    right = reference[:, 1] + window[:, 1]
    expected = of_window * right / texts
    variance = of_window * of_reference * right * (texts - right) / (texts**2 * np.maximum(texts - 1, 1))
    if not variance.sum():
        return Shift(effect, 1.0)
    statistic = float((window[:, 1] - expected).sum() ** 2 / variance.sum())
    return Shift(effect, float(chi2.sf(statistic, 1)))
