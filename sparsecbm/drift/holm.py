"""Holm's correction for many tests."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: at most one false alarm with the level's probability.

    The smallest of m p-values is multiplied by m, the next one by m - 1, and so on; none is below the one before it
    (Holm, Scandinavian Journal of Statistics 1979). It assumes nothing of how the tests depend on each other.
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values, kind="stable")
    steps = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1.0)
    adjusted = np.empty_like(values)
    adjusted[order] = steps
    return adjusted.tolist()
