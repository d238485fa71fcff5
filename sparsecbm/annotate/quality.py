"""How good concept labels are: agreement and calibration wherever two sources labelled the same texts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from sparsecbm.base.concepts import Concept
from sparsecbm.base.form import Form
from sparsecbm.base.metrics import (
    alpha_of,
    calibration_bins,
    coincidences,
    expected_calibration_error,
    interval,
    resample,
    resampled_sums,
)
from sparsecbm.base.numbers import Number

COMBINED = "combined"  # the machines together, as the training rows have them
MIN_TEXTS = 20  # with fewer texts, agreement is not measured


class Bin(Form):
    """Labels of similar confidence."""

    texts: int
    confidence: Number = Field(description="mean confidence of the labels")
    accuracy: Number = Field(description="share of the labels that agree with people")


class Agreement(Form):
    """One source against another on the texts that both labelled; intervals are 95 %, by bootstrap over groups."""

    texts: int
    accuracy: Number
    accuracy_interval: list[Number]
    macro_f1: Number
    macro_f1_interval: list[Number]
    kappa: Number = Field(description="Cohen's kappa: 1 is perfect agreement, 0 is chance")
    kappa_interval: list[Number]
    precision: dict[str, Number] = Field(description="state -> share of its labels that the first source gives, too")
    recall: dict[str, Number] = Field(description="state -> share of the first source's texts that have it here, too")
    states: list[str]
    confusion: list[list[int]] = Field(description="counts[first source][second source], in the order of states")
    calibration_error: Number = Field(description="expected calibration error of the second source's confidence")
    calibration: list[Bin]


class ConceptQuality(Form):
    """The labels of one concept."""

    people: int = Field(description="texts that people labelled")
    coverage: dict[str, Number] = Field(description="machine -> share of people's texts that it labels")
    alpha: Number = Field(description="Krippendorff's alpha over people and all machines")
    alpha_interval: list[Number]
    against_people: dict[str, Agreement | None] = Field(
        description="machine, or `combined` -> agreement with people; null below 20 texts"
    )
    between_machines: dict[str, dict[str, Agreement | None]]


class Quality(Form):
    """`quality` in `metrics/annotate.json`."""

    concepts: dict[str, ConceptQuality]
    lowest_kappa: Number = Field(
        description="the lowest kappa of a concept's combined labels against people; null if one is not measured"
    )


@dataclass(frozen=True, eq=False)
class SourceLabels:
    """What one source says about a concept.

    Attributes:
        states: key -> state
        confidence: key -> confidence in that state; None or nan where the source gives none
    """

    states: pd.Series
    confidence: pd.Series | None = None


@dataclass(frozen=True)
class QualitySettings:
    """The bootstrap, its seed, and the number of bins of confidence."""

    resamples: int
    bins: int
    seed: int


def measure_concept(
    concept: Concept,
    people: SourceLabels,
    machines: Mapping[str, SourceLabels],
    groups: pd.Series,
    settings: QualitySettings,
) -> ConceptQuality:
    """Compare the sources of one concept.

    Args:
        machines: by name, `combined` among them
        groups: key -> group of its text; texts of one group are drawn together
    """
    names = [name for name in machines if name != COMBINED]
    sources = [people, *(machines[name] for name in names)]
    alpha, alpha_interval = _alpha(concept, [source.states for source in sources], groups, settings)
    labelled = len(people.states)
    return ConceptQuality(
        people=labelled,
        coverage={
            name: people.states.index.isin(source.states.index).mean() if labelled else None
            for name, source in machines.items()
        },
        alpha=alpha,
        alpha_interval=alpha_interval,
        against_people={
            name: compare_labels(concept, people, source, groups, settings) for name, source in machines.items()
        },
        between_machines={
            first: {
                second: compare_labels(concept, machines[first], machines[second], groups, settings)
                for second in names[number + 1 :]
            }
            for number, first in enumerate(names[:-1])
        },
    )


def compare_labels(
    concept: Concept, first: SourceLabels, second: SourceLabels, groups: pd.Series, settings: QualitySettings
) -> Agreement | None:
    """Compare two sources on the texts that both labelled; None if these are fewer than `MIN_TEXTS`.

    Args:
        first: what counts as true for precision, recall and calibration
        groups: key -> group of its text
    """
    keys = first.states.index.intersection(second.states.index).sort_values()
    if len(keys) < MIN_TEXTS:
        return None
    gold, given = (source.states[keys].map(concept.index).to_numpy() for source in (first, second))
    clusters = groups[keys].to_numpy().astype(str)
    drawn = resample(gold, given, len(concept), clusters, settings.resamples, settings.seed)
    counts = drawn.counts
    calibration_error, bins = _calibration(concept, gold, given, second, keys, settings.bins)
    return Agreement(
        texts=len(keys),
        accuracy=drawn.value("accuracy"),
        accuracy_interval=drawn.interval("accuracy"),
        macro_f1=drawn.value("macro_f1"),
        macro_f1_interval=drawn.interval("macro_f1"),
        kappa=drawn.value("kappa"),
        kappa_interval=drawn.interval("kappa"),
        precision=_by_state(concept, np.diagonal(counts), counts.sum(0)),
        recall=_by_state(concept, np.diagonal(counts), counts.sum(1)),
        states=list(concept.states),
        confusion=counts.tolist(),
        calibration_error=calibration_error,
        calibration=bins,
    )


def summarise_quality(concepts: Mapping[str, ConceptQuality]) -> Quality:
    """All concepts, and the lowest kappa among them."""
    combined = [quality.against_people.get(COMBINED) for quality in concepts.values()]
    kappas = [None if agreement is None else agreement.kappa for agreement in combined]
    known = [kappa for kappa in kappas if kappa is not None]
    return Quality(concepts=dict(concepts), lowest_kappa=min(known) if known and len(known) == len(kappas) else None)


def _calibration(
    concept: Concept, gold: np.ndarray, given: np.ndarray, source: SourceLabels, keys: pd.Index, bins: int
) -> tuple[float | None, list[Bin]]:
    """Calibration of the confidence in the given state; nothing if the source gives no confidence."""
    if source.confidence is None:
        return None, []
    confidence = source.confidence.reindex(keys).to_numpy(dtype=float)
    known = np.isfinite(confidence)
    if not known.any():
        return None, []
    probabilities = np.zeros((int(known.sum()), len(concept)))
    probabilities[np.arange(len(probabilities)), given[known]] = confidence[known]
    error = expected_calibration_error(probabilities, gold[known], bins)
    found = calibration_bins(probabilities, gold[known], bins)
    return error, [Bin(texts=texts, confidence=mean, accuracy=right) for _, texts, mean, right in found]


def _alpha(
    concept: Concept, sources: list[pd.Series], groups: pd.Series, settings: QualitySettings
) -> tuple[float | None, list[float]]:
    votes = pd.concat(sources).map(concept.index)
    if votes.empty:
        return None, [float("nan")] * 2
    table = pd.crosstab(votes.index, votes.to_numpy()).reindex(columns=range(len(concept)), fill_value=0)
    matrices = coincidences(table.to_numpy(dtype=float))
    clusters = groups[table.index].to_numpy().astype(str)
    drawn = alpha_of(resampled_sums(matrices, clusters, settings.resamples, settings.seed))
    return float(alpha_of(matrices.sum(0))), interval(drawn)


def _by_state(concept: Concept, hits: np.ndarray, total: np.ndarray) -> dict[str, float | None]:
    return {state: float(hits[i] / total[i]) if total[i] else None for i, state in enumerate(concept.states)}
