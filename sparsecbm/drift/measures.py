"""Every figure that may drift, compared and corrected for their number."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.metrics import MISSING
from sparsecbm.base.params.drift import Drift
from sparsecbm.base.published import PUBLISHED
from sparsecbm.drift.accuracy_fall import compare_accuracy
from sparsecbm.drift.holm import holm
from sparsecbm.drift.outputs import LABEL
from sparsecbm.drift.rates import compare_rates
from sparsecbm.drift.representation import compare_by_classifier, compare_by_kernel
from sparsecbm.drift.sample import Sample
from sparsecbm.drift.shift import Shift, compare_counts, compare_distributions, compare_means
from sparsecbm.train.reproducible import one_blas_thread

RATES, ANNOTATED_RATES = "rates", "annotated rates"
TEXT_TO_CONCEPT, CONCEPT_TO_LABEL = "text to concept", "concept to label"
Kind = Literal[
    "rates", "annotated rates", "confidence", "disagreement", "classifier", "kernel", "vocabulary", "length",
    "language", "text to concept", "concept to label",
]  # fmt: skip


@dataclass(frozen=True, config=PUBLISHED)
class Measure:
    """One figure of a window next to that of the reference."""

    kind: Kind
    of: Annotated[str, Field(description="the concept, or label, texts, concepts")]
    reference: Annotated[dict[str, float], Field(description="rates of states, shares of languages, or the mean")]
    window: dict[str, float]
    effect: Annotated[float, Field(description="size of the difference; docs/drift.md gives the unit of each kind")]
    threshold: Annotated[float, Field(description="the smallest effect that counts as drift")]
    p: float
    p_holm: Annotated[float, Field(description="p-value corrected by Holm for all figures of the window")]
    drifted: Annotated[bool, Field(description="effect and corrected p-value are both beyond their bounds")]

    @property
    def name(self) -> str:
        """Kind and variable, which name the figure in every window."""
        return f"{self.kind}: {self.of}"


@one_blas_thread
def compare_samples(
    reference: Sample, window: Sample, concept_set: ConceptSet, params: Drift, seed: int
) -> list[Measure]:
    """Compare a window with the reference in every figure, and correct the p-values for their number."""
    measures = [
        *_outputs(reference, window, concept_set, params),
        *_representations(reference, window, params, seed),
        *_texts(reference, window, params),
        *_annotated(reference, window, concept_set, params),
    ]
    return [
        replace(each, p_holm=p_holm, drifted=p_holm <= params.alpha and each.effect >= each.threshold)
        for each, p_holm in zip(measures, holm([each.p for each in measures]), strict=True)
    ]


def _outputs(reference: Sample, window: Sample, concept_set: ConceptSet, params: Drift) -> Iterator[Measure]:
    effects, old, new = params.effects, reference.outputs, window.outputs
    for name, variable in _variables(concept_set).items():
        rates = compare_rates(old.probabilities[name], new.probabilities[name])
        figures = _named(variable.states, rates.reference), _named(variable.states, rates.window)
        yield _measure(RATES, name, figures, rates.shift, effects.rates)
    for of, ours, theirs in (
        (LABEL, old.label_confidence, new.label_confidence),
        ("concepts", old.concept_confidence, new.concept_confidence),
    ):
        shift = compare_distributions(ours, theirs)
        yield _measure("confidence", of, (_mean(ours), _mean(theirs)), shift, effects.confidence)
    shares = (_mean(old.disagreement), _mean(new.disagreement))
    shift = compare_counts(*(np.bincount(each.disagreement, minlength=2) for each in (old, new)))
    yield _measure("disagreement", LABEL, shares, shift, effects.disagreement)


def _representations(reference: Sample, window: Sample, params: Drift, seed: int) -> Iterator[Measure]:
    effects, nothing = params.effects, ({}, {})
    for name, ours in reference.outputs.pooled.items():
        theirs = window.outputs.pooled[name]
        shift = compare_by_classifier(ours, theirs, seed)
        yield _measure("classifier", name, nothing, shift, effects.separability)
        shift = compare_by_kernel(ours, theirs, params.permutations, seed)
        yield _measure("kernel", name, nothing, shift, effects.kernel)


def _texts(reference: Sample, window: Sample, params: Drift) -> Iterator[Measure]:
    effects, old, new = params.effects, reference.figures, window.figures
    shift = compare_means(old.unknown_words, new.unknown_words)
    yield _measure(
        "vocabulary", "texts", (_mean(old.unknown_words), _mean(new.unknown_words)), shift, effects.vocabulary
    )
    shift = compare_distributions(old.words, new.words)
    yield _measure("length", "texts", (_mean(old.words), _mean(new.words)), shift, effects.length)
    languages = tuple(dict.fromkeys((*sorted(set(old.languages)), *sorted(set(new.languages)))))
    counts = [np.array([Counter(each.languages)[name] for name in languages]) for each in (old, new)]
    yield _measure("language", "texts", _shares(languages, counts), compare_counts(*counts), effects.language)


def _annotated(reference: Sample, window: Sample, concept_set: ConceptSet, params: Drift) -> Iterator[Measure]:
    """What needs annotated texts: rates as people see them, and both steps of the model."""
    least, effects = params.least_annotated, params.effects
    for concept in concept_set:
        gold = [each.gold[concept.name] for each in (reference, window)]
        if min((states != MISSING).sum() for states in gold) < least:
            continue
        known = [states[states != MISSING] for states in gold]
        counts = [np.bincount(each, minlength=len(concept)) for each in known]
        shift = compare_counts(*counts)
        yield _measure(ANNOTATED_RATES, concept.name, _shares(concept.states, counts), shift, effects.rates)
        predicted = [each.outputs.states[concept.name] for each in (reference, window)]
        right = [states == guess for states, guess in zip(gold, predicted, strict=True)]
        yield _accuracy(TEXT_TO_CONCEPT, concept.name, gold, right, effects.accuracy)
    computed = [np.where(each.gold[LABEL] != MISSING, each.label_from_gold, MISSING) for each in (reference, window)]
    if min((labels != MISSING).sum() for labels in computed) >= least:
        right = [labels == each.gold[LABEL] for labels, each in zip(computed, (reference, window), strict=True)]
        yield _accuracy(CONCEPT_TO_LABEL, LABEL, computed, right, effects.accuracy)


def _accuracy(
    kind: Kind, of: str, strata: Sequence[np.ndarray], right: Sequence[np.ndarray], threshold: float
) -> Measure:
    """An accuracy within strata, [texts] for both sides; a stratum of -100 leaves a text out."""
    highest = max(int(each.max()) for each in strata) + 1
    counts = [
        np.bincount(2 * each[each != MISSING] + correct[each != MISSING], minlength=2 * highest).reshape(highest, 2)
        for each, correct in zip(strata, right, strict=True)
    ]
    means = tuple(_mean(correct[each != MISSING]) for each, correct in zip(strata, right, strict=True))
    return _measure(kind, of, (means[0], means[1]), compare_accuracy(*counts), threshold)


def _variables(concept_set: ConceptSet) -> Mapping[str, Concept]:
    return {LABEL: concept_set.label} | {concept.name: concept for concept in concept_set}


def _shares(names: Sequence[str], counts: Sequence[np.ndarray]) -> tuple[dict[str, float], dict[str, float]]:
    old, new = (_named(names, each / max(each.sum(), 1)) for each in counts)
    return old, new


def _named(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _mean(values: np.ndarray) -> dict[str, float]:
    return {"mean": float(values.mean())}


def _measure(
    kind: Kind, of: str, figures: tuple[dict[str, float], dict[str, float]], shift: Shift, threshold: float
) -> Measure:
    return Measure(kind, of, *figures, shift.effect, threshold, shift.p, 1.0, False)
