"""Where a review stands, and what the next ten minutes will buy."""

import math
from dataclasses import dataclass

import numpy as np

from sparsecbm.annotate.review.forecast import (
    MachineAgreement,
    agreement,
    expected_gain,
    expected_kappa,
    half_width,
    pace,
)
from sparsecbm.annotate.review.queue import ReviewQueue

MINUTES = 10
MIN_CELLS = 20  # on which machines were checked, for an interval that says something


@dataclass(frozen=True)
class ConceptProgress:
    """Where the review of one concept stands.

    Attributes:
        concept: its name
        labelled: number of cells with a label of a person
        cells: number of cells in the split
        session: labels of this session
        agreement: of machines and people
    """

    concept: str
    labelled: int
    cells: int
    session: int
    agreement: MachineAgreement


@dataclass(frozen=True)
class Outlook:
    """What the next ten minutes buy; means over the concepts.

    Attributes:
        pace: labels a minute in this session; None from too few labels
        labels: labels of the next ten minutes
        kappa: expected kappa of the labels in force with the true states; None without machine labels
        gain: by how much it will rise if machines are as right as they say
        gain_interval: the same if machines are as right as they were on the cells that people labelled; None if
            these are too few
        half_width: half of the widest 95 % interval of a concept's accuracy, measured on the labelled cells
        half_width_after: the same after the next ten minutes
    """

    pace: float | None
    labels: int
    kappa: float | None
    gain: float
    gain_interval: tuple[float, float] | None
    half_width: float
    half_width_after: float


def concept_progress(queue: ReviewQueue) -> list[ConceptProgress]:
    """Where each concept stands."""
    classes = _classes(queue)
    return [
        ConceptProgress(
            name,
            int((classes[name] >= 0).sum()),
            len(classes[name]),
            sum(decision.concept == name for decision in queue.session),
            agreement(queue.opinions[name].probabilities, classes[name]),
        )
        for name in queue.opinions
    ]


def outlook(queue: ReviewQueue) -> Outlook:
    """Forecast the next ten minutes at the pace of this session."""
    measured = pace(queue.session)
    labels = round(MINUTES * (measured or 0))
    classes = _classes(queue)
    rows = {name: [] for name in queue.opinions}
    index = {key: i for i, key in enumerate(queue.texts.frame["key"])}
    for key, concept in queue.left()[:labels]:
        rows[concept].append(index[key])
    kappas, gains, errors = [], [], []
    for name, opinion in queue.opinions.items():
        kappa = expected_kappa(opinion.probabilities, classes[name])
        checked = agreement(opinion.probabilities, classes[name])
        if not math.isnan(kappa):
            kappas.append(kappa)
            gains.append(expected_gain(opinion.probabilities, classes[name], rows[name]))
            errors.append(_error_ratio(checked))
    known = [int((labels_of >= 0).sum()) for labels_of in classes.values()]
    per_concept = labels // max(len(known), 1)
    whole = gains and all(error is not None for error in errors)
    return Outlook(
        measured,
        labels,
        float(np.mean(kappas)) if kappas else None,
        float(np.mean(gains)) if gains else 0.0,
        tuple(float(np.mean([g * e[end] for g, e in zip(gains, errors, strict=True)])) for end in (0, 1))
        if whole
        else None,
        float(np.mean([half_width(count) for count in known])),
        float(np.mean([half_width(count + per_concept) for count in known])),
    )


def _error_ratio(checked: MachineAgreement) -> tuple[float, float] | None:
    """Errors of machines on checked cells over those that their probabilities promise: the ends of the interval."""
    if checked.cells < MIN_CELLS or checked.expected >= 1:
        return None
    low, high = checked.interval
    return (1 - high) / (1 - checked.expected), (1 - low) / (1 - checked.expected)


def _classes(queue: ReviewQueue) -> dict[str, np.ndarray]:
    """Concept -> class indices of people's states, -1 without one, [texts]."""
    labels = queue.labels()
    return {
        concept.name: labels[concept.name].map({s: i for i, s in enumerate(concept.states)}).fillna(-1).to_numpy(int)
        for concept in queue.texts.concepts
    }
