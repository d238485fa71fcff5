"""Whether concept activations are as confident as they are right: confidence and accuracy by bins of confidence."""

from dataclasses import dataclass

import numpy as np

from sparsecbm.base.metrics import calibration_bins


@dataclass(frozen=True)
class Bin:
    """Texts whose confidence lies between two bounds: their number, mean confidence and accuracy."""

    low: float
    high: float
    texts: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Calibration of one variable. Bins without texts are left out.

    Attributes:
        error: expected calibration error; None if no gold state is known
    """

    error: float | None
    bins: tuple[Bin, ...]


def compute_calibration(probabilities: np.ndarray, gold: np.ndarray, bins: int) -> Calibration:
    """Calibration over bins of equal width of the probability of the predicted state.

    Args:
        probabilities: [texts, states]
        gold: [texts], indices of the gold states; `MISSING` where unknown
        bins: number of bins
    """
    filled = tuple(
        Bin(index / bins, (index + 1) / bins, texts, confidence, accuracy)
        for index, texts, confidence, accuracy in calibration_bins(probabilities, gold, bins)
    )
    texts = sum(part.texts for part in filled)
    if not texts:
        return Calibration(None, ())
    return Calibration(sum(part.texts * abs(part.accuracy - part.confidence) for part in filled) / texts, filled)
