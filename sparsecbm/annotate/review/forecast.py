"""What labels bought so far, and what the next minutes will buy: pure functions of labels, probabilities and times."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sparsecbm.annotate.human_labels import Decision, parse_time
from sparsecbm.base.metrics import confusion, kappa_of, wilson_interval

PAUSE = 120.0  # seconds; a longer gap between two decisions is a pause, not work
MIN_PACE = 5  # decisions that a pace is measured on


@dataclass(frozen=True)
class MachineAgreement:
    """How machines agree with people on the cells that both labelled.

    Attributes:
        cells: number of these cells
        accuracy: share on which the machines' most probable state is that of people; nan without cells
        interval: 95 %, by Wilson's score
        kappa: Cohen's kappa; nan without cells, and where all have one state
        expected: the accuracy that the machines' probabilities promise on these cells
    """

    cells: int
    accuracy: float
    interval: tuple[float, float]
    kappa: float
    expected: float


def pace(decisions: Sequence[Decision]) -> float | None:
    """Labels a minute, without pauses; None from too few decisions.

    Args:
        decisions: of one session, in order
    """
    times = [parse_time(decision.at).timestamp() for decision in decisions if decision.action == "label"]
    gaps = [later - earlier for earlier, later in pairwise(times) if later - earlier <= PAUSE]
    return 60 * len(gaps) / sum(gaps) if len(gaps) >= MIN_PACE - 1 and sum(gaps) > 0 else None


def agreement(probabilities: np.ndarray, labels: np.ndarray) -> MachineAgreement:
    """Compare machines with people.

    Args:
        probabilities: [texts, states]; nan where all machines abstained
        labels: [texts], class indices of people's states; -1 without one
    """
    both = (labels >= 0) & ~np.isnan(probabilities[:, 0])
    given, machine = labels[both], probabilities[both].argmax(1) if both.any() else labels[both]
    count = int(both.sum())
    if not count:
        return MachineAgreement(0, math.nan, (0.0, 1.0), math.nan, math.nan)
    right = int((given == machine).sum())
    kappa = float(kappa_of(confusion(given, machine, probabilities.shape[1])))
    expected = float(probabilities[both].max(1).mean())
    return MachineAgreement(count, right / count, wilson_interval(right, count), kappa, expected)


def expected_kappa(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Kappa between the labels in force and the true states, if machines are as right as their probabilities say.

    In force is a person's label, which counts as true, else the machines' most probable state.

    Args:
        probabilities, labels: as in `agreement`; texts without either are left out

    Returns:
        nan if no text has a label, or all have one and the same
    """
    known = ~np.isnan(probabilities[:, 0]) | (labels >= 0)
    states = probabilities.shape[1]
    person = labels[known] >= 0
    true = np.where(person[:, None], np.eye(states)[labels[known]], probabilities[known])
    in_force = np.eye(states)[true.argmax(1)] if len(true) else true
    counts = (in_force.T @ true).round(9)  # without the rounding errors of probabilities that add up to 1
    return float(kappa_of(counts))


def expected_gain(probabilities: np.ndarray, labels: np.ndarray, rows: Sequence[int]) -> float:
    """By how much `expected_kappa` rises if a person labels more texts, whichever states the person gives.

    The gain is taken over the machines' probabilities of these texts, to first order: the expected accuracy rises by
    what machines doubt on them, and the agreement by chance stays.

    Args:
        rows: of the texts that the person labels next
    """
    before = expected_kappa(probabilities, labels)
    known = ~np.isnan(probabilities[:, 0]) | (labels >= 0)
    if math.isnan(before) or not len(rows):
        return 0.0
    wrong = np.where(labels >= 0, 0.0, 1 - np.nan_to_num(probabilities, nan=1.0).max(1))
    doubt = wrong[known].mean()
    return float((1 - before) * wrong[list(rows)].sum() / (known.sum() * doubt)) if doubt > 0 else 0.0


def half_width(cells: int) -> float:
    """Half of the 95 % interval of an accuracy that is measured on so many cells, at its widest (one half right)."""
    low, high = wilson_interval(cells // 2, cells)
    return (high - low) / 2
