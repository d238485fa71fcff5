"""Candidates for concepts: groups of terms that stand in similar clauses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from sparsecbm.annotate.discovery.corpus import Corpus, unit_rows
from sparsecbm.annotate.discovery.terms import Terms, class_tfidf

SIZES = (3, 6, 10, 16)  # numbers of groups: from a coarse to a fine view of the same terms
LEAST_COVERAGE = 0.02
LEAST_COHERENCE = 0.05  # below it, a candidate speaks of too many things; see `Corpus.coherence`
MOST_ALIKE = 0.95  # two candidates with a higher cosine are near-duplicates, and one is left out


@dataclass(frozen=True)
class Candidate:
    """Something that texts may speak of.

    Attributes:
        name: its key term
        terms: the terms that stand for it, the most typical first
        mentions: [clauses] of bool; whether a clause holds one of its terms
        vector: [width], of unit length: the mean embedding of these clauses, seen from the mean of all
        coherence: of these clauses; see `Corpus.coherence`
    """

    name: str
    terms: tuple[str, ...]
    mentions: np.ndarray
    vector: np.ndarray
    coherence: float


def group_terms(corpus: Corpus, terms: Terms, seed: int) -> list[Candidate]:
    """Candidates from k-means over the vectors of terms, at several numbers of groups; see `SIZES`.

    Within a group, terms are ordered by class-based TF-IDF, where the classes are the groups' clauses.
    """
    weights = np.sqrt(np.asarray(terms.counts.sum(0)).ravel())
    candidates = []
    for size in SIZES:
        if size > len(terms.names) // 2:
            continue
        groups = KMeans(size, n_init=5, random_state=seed).fit(terms.vectors, sample_weight=weights).labels_
        members = np.eye(size)[groups]  # [terms, groups]
        mentions = np.asarray((terms.counts @ members) > 0)  # [clauses, groups]
        scores = class_tfidf(mentions.T.astype(float) @ terms.counts) * members.T
        for group in range(size):
            order = [i for i in np.argsort(-scores[group], kind="stable") if members[i, group]]
            names = tuple(terms.names[i] for i in order)
            candidates.append(make_candidate(corpus, names[0], names, mentions[:, group]))
    return candidates


def make_candidate(corpus: Corpus, name: str, terms: Sequence[str], mentions: np.ndarray) -> Candidate:
    """A candidate and where it stands among the clauses.

    Args:
        mentions: [clauses] of bool
    """
    count = int(mentions.sum())
    if not count:
        return Candidate(name, tuple(terms), mentions, np.zeros(corpus.vectors.shape[1]), 0.0)
    shifts = corpus.vectors[mentions].mean(0)[None] - corpus.vectors.mean(0)
    coherence = float(corpus.coherence(shifts, np.array([count]))[0])
    return Candidate(name, tuple(terms), mentions, unit_rows(shifts)[0], coherence)


def coverage(candidate: Candidate, corpus: Corpus) -> float:
    """The share of texts with a clause that mentions it."""
    return len(np.unique(corpus.owners[candidate.mentions])) / len(corpus.texts)


def distinct(candidates: Sequence[Candidate], corpus: Corpus) -> list[Candidate]:
    """Candidates without rare and incoherent ones and without near-duplicates, by falling coverage.

    Of two candidates whose vectors have a cosine above `MOST_ALIKE`, or that share their name, the one with the smaller
    coverage is left out.
    """
    shares = [coverage(candidate, corpus) for candidate in candidates]
    kept: list[Candidate] = []
    for i in np.argsort([-share for share in shares], kind="stable"):
        candidate = candidates[i]
        if candidate.coherence < LEAST_COHERENCE or not LEAST_COVERAGE <= shares[i] <= 1 - LEAST_COVERAGE:
            continue
        if any(other.name == candidate.name or other.vector @ candidate.vector > MOST_ALIKE for other in kept):
            continue
        kept.append(candidate)
    return kept
