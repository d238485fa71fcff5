"""From training texts to suggested concepts: ranked, with definitions, scores and an honest stop."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.discovery.candidates import Candidate, coverage, distinct, group_terms
from sparsecbm.annotate.discovery.completeness import Completeness, measure_completeness
from sparsecbm.annotate.discovery.corpus import Corpus
from sparsecbm.annotate.discovery.draft import Poles, draft_definition, free_names
from sparsecbm.annotate.discovery.scores import cross_fitted_scores, group_folds, label_axis
from sparsecbm.annotate.discovery.selection import cross_validated_errors, forward_selection
from sparsecbm.annotate.discovery.terms import find_terms
from sparsecbm.base.errors import DataError

LONGEST_CURVE = 12
KEY_TERMS = 10  # of a concept
DRAFT = 4  # concepts in the file where the figures speak for none


@dataclass(frozen=True)
class SuggestedConcept:
    """A concept in the order of its gain.

    Attributes:
        chosen: whether it goes into the file
        terms: its key terms, the most typical first
        coverage: share of the texts that mention it
        degree_at: class of the label -> mean degree of the texts of this class that mention it; -1 to 1
    """

    definition: ConceptDefinition
    chosen: bool
    terms: tuple[str, ...]
    coverage: float
    degree_at: dict[str, float]


@dataclass(frozen=True)
class Suggestion:
    """Concepts that texts suggest, and what they know of the label together.

    Attributes:
        concepts: in the order of their gain
        completeness: figures of the first k concepts, chosen and measured on different groups
        poles: which end of the label the states Negative and Positive mean
    """

    texts: int
    groups: int
    clauses: int
    concepts: tuple[SuggestedConcept, ...]
    completeness: Completeness
    poles: Poles

    @property
    def definitions(self) -> tuple[ConceptDefinition, ...]:
        """Of the concepts that go into the file."""
        return tuple(concept.definition for concept in self.concepts if concept.chosen)


@dataclass(frozen=True)
class SuggestOptions:
    """How to suggest.

    Attributes:
        taken: names that no concept may have
        count: concepts to choose; None lets the figures decide
        praise: [width], the embedding of praise less that of blame, to guess which end of the label is good; None takes
            the end of the last class for it
    """

    taken: tuple[str, ...] = ()
    count: int | None = None
    praise: np.ndarray | None = None
    seed: int = 13


def candidates_of_texts(corpus: Corpus, seed: int) -> list[Candidate]:
    """Candidates without a language model.

    Raises:
        DataError: the texts repeat too few words.
    """
    return group_terms(corpus, find_terms(corpus), seed)


def suggest(
    corpus: Corpus,
    candidates: Sequence[Candidate],
    options: SuggestOptions,
    definitions: dict[str, ConceptDefinition] | None = None,
) -> Suggestion:
    """Rank candidates, find where to stop, and define those that are chosen.

    Args:
        definitions: name of a candidate -> its definition; the others are defined by templates

    Raises:
        DataError: no candidate is left after rare ones and near-duplicates are removed.
    """
    candidates = distinct(candidates, corpus)
    if not candidates:
        raise DataError(
            "no candidate is left: all are rare, in every text, or speak of too many things; write concepts.yaml by "
            "hand, or give more texts"
        )
    completeness = measure_completeness(candidates, corpus, LONGEST_CURVE, options.seed)
    everything = np.arange(len(corpus.texts))
    folds = group_folds(corpus.labels, corpus.groups, options.seed)
    scores = cross_fitted_scores(candidates, corpus, everything, folds)
    order = forward_selection(scores, corpus.labels, folds, LONGEST_CURVE)
    axis = label_axis(corpus.text_vectors(), corpus.labels)
    degrees = corpus.vectors @ axis[:-1] + axis[-1]
    poles = _poles(corpus, axis, options.praise)
    count = (completeness.stop or DRAFT) if options.count is None else options.count
    ordered = [candidates[i] for i in order]
    concepts = []
    for rank, (i, name) in enumerate(zip(order, free_names(ordered, options.taken), strict=True)):
        given = (definitions or {}).get(candidates[i].name)
        if given is not None:
            given = replace(given, name=name)
        polar = _is_polar(scores[:, [i]], corpus.labels, folds)
        definition = given or draft_definition(name, candidates[i], polar, degrees, corpus, poles)
        concepts.append(
            SuggestedConcept(
                definition=definition,
                chosen=rank < count,
                terms=candidates[i].terms[:KEY_TERMS],
                coverage=coverage(candidates[i], corpus),
                degree_at=_mean_degrees(scores[:, i], corpus),
            )
        )
    groups = len(np.unique(corpus.groups))
    return Suggestion(len(corpus.texts), groups, len(corpus.clauses), tuple(concepts), completeness, poles)


def _is_polar(scores: np.ndarray, labels: np.ndarray, folds: Sequence) -> bool:
    """Whether the degree of a candidate tells more of the label than its mention does; scores [texts, 1, 2]."""
    nothing, mention, both = cross_validated_errors(scores[:, 0], labels, folds, ([], [0], [0, 1]))
    return mention - both > nothing - mention


def _mean_degrees(scores: np.ndarray, corpus: Corpus) -> dict[str, float]:
    """Class -> mean degree of the texts that mention a candidate; scores [texts, 2]."""
    mentioned = scores[:, 0] > 0
    means = {}
    for i, name in enumerate(corpus.classes):
        part = scores[mentioned & (corpus.labels == i), 1]
        if len(part):
            means[name] = round(float(part.mean()), 6)
    return means


def _poles(corpus: Corpus, axis: np.ndarray, praise: np.ndarray | None) -> Poles:
    """The ends of the axis: the first and the last class, or without an order those whose texts lie at its ends."""
    if praise is None:
        return Poles(corpus.classes[0], corpus.classes[-1])
    positions = corpus.text_vectors() @ axis[:-1] + axis[-1]
    means = [positions[corpus.labels == i].mean() for i in range(len(corpus.classes))]
    low, high = corpus.classes[int(np.argmin(means))], corpus.classes[int(np.argmax(means))]
    return Poles(low, high, float(praise @ axis[:-1]) >= 0, guessed=True)
