"""Are concept activations as sure as they are right? Confidence against accuracy, bin by bin."""

from dataclasses import dataclass

import numpy as np

from sparsecbm.base.metrics import MISSING, expected_calibration_error


@dataclass(frozen=True)
class Bin:
    """Texts whose confidence lies between two bounds: how many, how sure and how often right, in the mean."""

    low: float
    high: float
    texts: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Calibration of one variable; bins without texts are left out.

    Attributes:
        error: expected calibration error; None where no gold state is known
    """

    error: float | None
    bins: tuple[Bin, ...]


def compute_calibration(probabilities: np.ndarray, gold: np.ndarray, bins: int) -> Calibration:
    """Bins of equal width over the probability of the winning state.

    Args:
        probabilities: [texts, states]
        gold: [texts], places of the gold states; `MISSING` where unknown
    """
    known = gold != MISSING
    if not known.any():
        return Calibration(None, ())
    confidence = probabilities[known].max(-1)
    right = probabilities[known].argmax(-1) == gold[known]
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    found = tuple(
        Bin(
            number / bins,
            (number + 1) / bins,
            int((which == number).sum()),
            float(confidence[which == number].mean()),
            float(right[which == number].mean()),
        )
        for number in np.unique(which).tolist()
    )
    return Calibration(expected_calibration_error(probabilities, gold, bins), found)
