"""How much of what a black box knows of the label do the first concepts know? Measured on held-out groups.

The black box is a logistic regression on the embedding of the text; the label head is one on the scores of the first k
concepts. In each fold, the axis of the label, the order of the concepts and both heads are fitted without the texts
that are held out. So the figures hold for the way of choosing, and choosing the best of many gains nothing by chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from sparsecbm.annotate.discovery.candidates import Candidate
from sparsecbm.annotate.discovery.corpus import Corpus
from sparsecbm.annotate.discovery.scores import concept_scores, cross_fitted_scores, group_folds, label_axis
from sparsecbm.annotate.discovery.selection import forward_selection
from sparsecbm.base.metrics import resampled_means

RESAMPLES = 1000
BLACK_BOX_STRENGTH = 3.0  # inverse of the penalty; embeddings have unit length


@dataclass(frozen=True)
class Score:
    """A classifier on held-out texts: its accuracy, and its Brier score with the standard error over groups."""

    accuracy: float
    accuracy_error: float
    brier: float
    brier_error: float


@dataclass(frozen=True)
class Step:
    """The first `concepts` concepts.

    Attributes:
        gain: points of accuracy that the last of them adds
        gain_error: its standard error
        brier_gain: how much it lowers the Brier score, with `brier_gain_error`
        completeness: the share of what the black box knows beyond the majority: (accuracy - majority) / (black box -
            majority), with its 95 % interval; None if the interval of the black box's lead over the majority reaches 0,
            since a share of nearly nothing is no share
        brier_completeness: the same of the Brier score; None if the black box has no lower one than the majority
    """

    concepts: int
    score: Score
    gain: float
    gain_error: float
    brier_gain: float
    brier_gain_error: float
    completeness: float | None
    completeness_interval: list[float] | None
    brier_completeness: float | None


@dataclass(frozen=True)
class Completeness:
    """The curve over numbers of concepts, and where to stop.

    Attributes:
        stop: the smallest number of concepts whose Brier score is at most one standard error (of the difference) above
            the lowest one on the curve; 0 if no concept tells anything
    """

    majority: Score
    black_box: Score
    steps: tuple[Step, ...]
    stop: int


def measure_completeness(candidates: Sequence[Candidate], corpus: Corpus, most: int, seed: int) -> Completeness:
    """Scores of the first 1, 2, ... `most` concepts, of the black box and of the majority, by cross-validation.

    Args:
        most: concepts on the curve; no more than there are candidates
    """
    most = min(most, len(candidates))
    vectors, labels = corpus.text_vectors(), corpus.labels
    hits, losses = (np.zeros((len(labels), most + 2)) for _ in range(2))  # majority, 1 ... most concepts, black box
    for fitted, held_out in group_folds(labels, corpus.groups, seed):
        inner = group_folds(labels[fitted], corpus.groups[fitted], seed)
        train = cross_fitted_scores(candidates, corpus, fitted, inner)
        order = forward_selection(train, labels[fitted], inner, most)
        test = concept_scores(candidates, corpus, label_axis(vectors[fitted], labels[fitted]))[held_out]
        shares = np.bincount(labels[fitted], minlength=len(corpus.classes)) / len(fitted)
        probabilities = [np.tile(shares, (len(held_out), 1))]
        for count in range(1, most + 1):
            used = order[:count]
            inputs = [part[:, used].reshape(len(part), -1) for part in (train, test)]
            probabilities.append(_predict(*inputs, labels[fitted], len(corpus.classes), 1.0))
        probabilities.append(
            _predict(vectors[fitted], vectors[held_out], labels[fitted], len(corpus.classes), BLACK_BOX_STRENGTH)
        )
        for column, predicted in enumerate(probabilities):
            hits[held_out, column] = predicted.argmax(1) == labels[held_out]
            losses[held_out, column] = ((predicted - np.eye(len(corpus.classes))[labels[held_out]]) ** 2).sum(1)
    draws = [resampled_means(values, corpus.groups, RESAMPLES, seed) for values in (hits, losses)]
    return _summarise(hits.mean(0), losses.mean(0), *draws)


def _predict(train: np.ndarray, test: np.ndarray, labels: np.ndarray, classes: int, strength: float) -> np.ndarray:
    """Probabilities of the classes, [texts, classes]; 0 for a class that no training text has."""
    head = LogisticRegression(C=strength, max_iter=500).fit(train, labels)
    probabilities = np.zeros((len(test), classes))
    probabilities[:, head.classes_] = head.predict_proba(test)
    return probabilities


def _summarise(accuracy: np.ndarray, brier: np.ndarray, hits: np.ndarray, losses: np.ndarray) -> Completeness:
    """Figures of the curve from means [columns] and their draws [resamples, columns]."""

    def score(i: int) -> Score:
        return Score(float(accuracy[i]), float(hits[:, i].std()), float(brier[i]), float(losses[:, i].std()))

    last = len(accuracy) - 1
    known = np.percentile(hits[:, last] - hits[:, 0], 2.5) > 0  # of the draws of the black box's lead
    steps = []
    for k in range(1, last):
        share, shares = (_recovered(values, k) for values in (accuracy[None], hits))
        brier_share = _recovered(brier[None], k)
        steps.append(
            Step(
                concepts=k,
                score=score(k),
                gain=float(accuracy[k] - accuracy[k - 1]),
                gain_error=float((hits[:, k] - hits[:, k - 1]).std()),
                brier_gain=float(brier[k - 1] - brier[k]),
                brier_gain_error=float((losses[:, k - 1] - losses[:, k]).std()),
                completeness=float(share[0]) if known else None,
                completeness_interval=[float(q) for q in np.nanpercentile(shares, [2.5, 97.5])] if known else None,
                brier_completeness=float(brier_share[0]) if brier[last] < brier[0] else None,
            )
        )
    curve = brier[:last]
    best = int(curve.argmin())
    error = (losses[:, :last] - losses[:, [best]]).std(0)
    stop = int(np.flatnonzero(curve - curve[best] <= error)[0])
    return Completeness(score(0), score(last), tuple(steps), stop)


def _recovered(values: np.ndarray, k: int) -> np.ndarray:
    """(k concepts - majority) / (black box - majority), [rows]; values [rows, columns]."""
    gap = values[:, -1] - values[:, 0]
    return (values[:, k] - values[:, 0]) / np.where(np.abs(gap) < 1e-9, np.nan, gap)
