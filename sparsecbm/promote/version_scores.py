"""Scores of what a version read on the held-out split, with bootstrap draws that are paired between versions."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.metrics import MISSING, expected_calibration_error, interval, resample, resampled_means
from sparsecbm.evaluate.variables import Variable, clusters_of
from sparsecbm.promote.artifacts import VersionPredictions
from sparsecbm.train.examples import indices

SMALLER_IS_BETTER = ("calibration_error",)


@dataclass(frozen=True)
class Drawn:
    """A score over all texts, and over bootstrap resamples of their clusters, [resamples]."""

    value: float
    draws: np.ndarray


@dataclass(frozen=True)
class Difference:
    """Challenger minus champion, with its 95 % interval; turned so that more is better."""

    value: float
    interval: tuple[float, float]


def variables(read: VersionPredictions, frame: pd.DataFrame) -> dict[str, Variable]:
    """`label` and `concepts.NAME` as a version read them, beside the gold of the split.

    A variable that the split does not hold, or holds with states that the version does not know, is left out.
    """
    columns = {"label": ("label", read.label, frame["group"].astype(str).to_numpy())}
    for name, variable in read.concepts.items():
        if f"concept.{name}" in frame:
            columns[f"concepts.{name}"] = (f"concept.{name}", variable, clusters_of(frame, name))
    found = {}
    for name, (column, plain, clusters) in columns.items():
        concept = Concept(name, tuple(plain["states"]))
        try:
            gold = indices(frame[column], concept).numpy()
        except ConfigError:
            continue
        found[name] = Variable(concept.states, gold, np.array(plain["probabilities"], float), clusters)
    return found


def drawn(variable: Variable, score: str, resamples: int, seed: int, bins: int) -> Drawn:
    """A score of one variable; the same clusters and seed give the same resamples, so versions can be paired."""
    if score == "calibration_error":
        gaps = _gaps(variable, bins)
        draws = np.abs(resampled_means(gaps, variable.clusters, resamples, seed)).sum(1)
        return Drawn(expected_calibration_error(variable.probabilities, variable.gold, bins), draws)
    counted = resample(variable.gold, variable.read, len(variable.states), variable.clusters, resamples, seed)
    return Drawn(counted.value(score), counted.draws[score])


def mean(all_drawn: list[Drawn]) -> Drawn:
    """The mean over several variables."""
    return Drawn(
        float(np.mean([each.value for each in all_drawn])), np.mean([each.draws for each in all_drawn], axis=0)
    )


def difference(challenger: Drawn, champion: Drawn, score: str) -> Difference:
    """How much better the challenger is, on the same resamples."""
    sign = -1 if score in SMALLER_IS_BETTER else 1
    low, high = interval(sign * (challenger.draws - champion.draws))
    return Difference(sign * (challenger.value - champion.value), (low, high))


def _gaps(variable: Variable, bins: int) -> np.ndarray:
    """Right minus confidence in the column of each text's bin of confidence, [texts, bins]; nan without a gold state.

    The calibration error is the sum over the bins of the absolute means of these columns.
    """
    confidence = variable.probabilities.max(-1)
    gaps = np.zeros((len(confidence), bins))
    gaps[np.arange(len(confidence)), np.minimum((confidence * bins).astype(int), bins - 1)] = (
        variable.read == variable.gold
    ) - confidence
    gaps[variable.gold == MISSING] = np.nan
    return gaps
