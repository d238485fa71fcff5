"""How often a model is right on the texts of a slice: those that a filter lets through."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.base.metrics import interval, resampled_means

RESAMPLES, SEED = 1000, 0  # of the bootstrap behind each interval
LABEL = "label"


@dataclass(frozen=True)
class SliceScore:
    """The accuracy of one variable.

    Attributes:
        texts: number of texts for which people gave a state
        interval: 95 %, over groups of texts
    """

    name: str
    texts: int
    accuracy: float
    interval: tuple[float, float]


def slice_scores(frame: pd.DataFrame) -> list[SliceScore]:
    """Score label and concepts, the worst first; variables without states of people are left out.

    Args:
        frame: as `SplitTexts.predicted` gives it
    """
    scores = []
    for name in [LABEL, *(column[10:] for column in frame if column.startswith("predicted."))]:
        if f"gold.{name}" not in frame:
            continue
        gold, predicted = frame[f"gold.{name}"], frame[LABEL if name == LABEL else f"predicted.{name}"]
        known = gold.notna()
        if not known.any():
            continue
        right = (gold == predicted)[known].to_numpy(float)
        draws = resampled_means(right[:, None], frame["group"][known].to_numpy(), RESAMPLES, SEED)[:, 0]
        low, high = interval(draws)
        scores.append(SliceScore(name, int(known.sum()), float(np.mean(right)), (low, high)))
    return sorted(scores, key=lambda score: score.accuracy)
