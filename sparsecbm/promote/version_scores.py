"""Scores of a version's predictions on the held-out split, with bootstrap draws that are paired between versions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.metrics import MISSING, expected_calibration_error, interval, resample, resampled_means
from sparsecbm.evaluate.variables import VariablePredictions, clusters_of
from sparsecbm.promote.artifacts import VersionPredictions
from sparsecbm.train.examples import class_indices

SMALLER_IS_BETTER = ("calibration_error",)


@dataclass(frozen=True)
class BootstrappedScore:
    """A score over all texts, and over bootstrap resamples of their clusters, [resamples]."""

    value: float
    draws: np.ndarray


@dataclass(frozen=True)
class ScoreDifference:
    """Challenger minus champion with the 95 % interval; positive means better for every score."""

    value: float
    interval: tuple[float, float]


def version_variables(predictions: VersionPredictions, frame: pd.DataFrame) -> dict[str, VariablePredictions]:
    """`label` and `concepts.NAME`: the probabilities that a version predicts, with the gold of the split.

    A variable is left out if the split lacks it, or holds a state of it that the version does not know.
    """
    columns = {"label": ("label", predictions.label, frame["group"].astype(str).to_numpy())}
    for name, variable in predictions.concepts.items():
        if f"concept.{name}" in frame:
            columns[f"concepts.{name}"] = (f"concept.{name}", variable, clusters_of(frame, name))
    variables = {}
    for name, (column, plain, clusters) in columns.items():
        concept = Concept(name, tuple(plain["states"]))
        try:
            gold = class_indices(frame[column], concept).numpy()
        except ConfigError:
            continue
        variables[name] = VariablePredictions(concept.states, gold, np.array(plain["probabilities"], float), clusters)
    return variables


def bootstrap_score(
    variable: VariablePredictions, score: str, resamples: int, seed: int, bins: int
) -> BootstrappedScore:
    """Compute a score of one variable; equal clusters and seed give equal resamples, so versions can be paired."""
    if score == "calibration_error":
        gaps = _calibration_gaps(variable, bins)
        draws = np.abs(resampled_means(gaps, variable.clusters, resamples, seed)).sum(1)
        return BootstrappedScore(expected_calibration_error(variable.probabilities, variable.gold, bins), draws)
    counted = resample(variable.gold, variable.predicted, len(variable.states), variable.clusters, resamples, seed)
    return BootstrappedScore(counted.value(score), counted.draws[score])


def average_scores(scores: Sequence[BootstrappedScore]) -> BootstrappedScore:
    """Average over several variables."""
    value = float(np.mean([score.value for score in scores]))
    return BootstrappedScore(value, np.mean([score.draws for score in scores], axis=0))


def compare_scores(challenger: BootstrappedScore, champion: BootstrappedScore, score: str) -> ScoreDifference:
    """How much better the challenger is, on the same resamples."""
    sign = -1 if score in SMALLER_IS_BETTER else 1
    low, high = interval(sign * (challenger.draws - champion.draws))
    return ScoreDifference(sign * (challenger.value - champion.value), (low, high))


def _calibration_gaps(variable: VariablePredictions, bins: int) -> np.ndarray:
    """Correct minus confidence, in the column of each text's confidence bin, [texts, bins]; nan without a gold state.

    The calibration error is the sum over bins of the absolute column means.
    """
    confidence = variable.probabilities.max(-1)
    gaps = np.zeros((len(confidence), bins))
    gaps[np.arange(len(confidence)), np.minimum((confidence * bins).astype(int), bins - 1)] = (
        variable.predicted == variable.gold
    ) - confidence
    gaps[variable.gold == MISSING] = np.nan
    return gaps
