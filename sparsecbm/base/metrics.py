"""Scores of a classifier from its confusion matrix, their intervals, and calibration.

Every score is a function of a confusion matrix counts[gold, predicted]. A bootstrap resample is a weighted sum of the
matrices of the clusters, so an interval needs these matrices only.
"""

import zlib
from dataclasses import dataclass
from typing import cast

import numpy as np

MISSING = -100  # class index of a text whose gold state is not known; every score leaves it out


def accuracy(gold: np.ndarray, predicted: np.ndarray, missing: int = MISSING) -> float:
    """Share of the texts with a known state whose prediction is right; nan if there are none."""
    known = gold != missing
    return float((gold[known] == predicted[known]).mean()) if known.any() else float("nan")


def confusion(gold: np.ndarray, predicted: np.ndarray, states: int) -> np.ndarray:
    """Counts [states, states]: row = gold, column = predicted."""
    known = gold != MISSING
    cells = gold[known] * states + predicted[known]
    return np.bincount(cells, minlength=states * states).reshape(states, states)


def accuracy_of(counts: np.ndarray) -> np.ndarray:
    """Accuracy from counts [..., states, states]."""
    return _ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum((-2, -1)))


def macro_f1_of(counts: np.ndarray) -> np.ndarray:
    """Macro-F1 from counts [..., states, states]: the mean over the states that occur, gold or predicted."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    size = counts.sum(-1) + counts.sum(-2)  # gold + predicted of each state
    occurs = size > 0
    return _ratio(np.where(occurs, _ratio(2 * hits, size), 0.0).sum(-1), occurs.sum(-1))


def macro_f1_ovr_of(counts: np.ndarray) -> np.ndarray:
    """The published papers' macro-F1: each class against the rest by binary macro-F1, averaged over classes.

    It also credits the negatives, so it is far above `macro_f1_of`. Use it only to compare with those papers
    (C3M, arXiv 2311.05014; SparseCBM, arXiv 2312.15033).
    """
    total = counts.sum((-2, -1))[..., None]
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    gold, predicted = counts.sum(-1), counts.sum(-2)
    rejected = total - gold - predicted + hits
    binary = np.stack(
        [np.stack([rejected, predicted - hits], -1), np.stack([gold - hits, hits], -1)], -2
    )  # [..., class, gold, predicted]
    return cast(np.ndarray, macro_f1_of(binary).mean(-1))


def kappa_of(counts: np.ndarray) -> np.ndarray:
    """Cohen's kappa from counts [..., states, states]: agreement beyond chance, 1 for perfect, 0 for chance.

    nan where both sides always give the same state, so that chance explains everything.
    """
    total = counts.sum((-2, -1))
    observed = _ratio(np.trace(counts, axis1=-2, axis2=-1), total)
    chance = _ratio((counts.sum(-1) * counts.sum(-2)).sum(-1), total.astype(float) ** 2)
    return _ratio(observed - chance, 1 - chance)


SCORES = {"accuracy": accuracy_of, "macro_f1": macro_f1_of, "macro_f1_ovr": macro_f1_ovr_of, "kappa": kappa_of}


def coincidences(votes: np.ndarray) -> np.ndarray:
    """How often two sources gave two states to one text, [texts, states, states]: Krippendorff's coincidence matrices.

    Each text counts as much as it has votes; a text with a single vote compares nothing.

    Args:
        votes: [texts, states], how many sources gave the text a state
    """
    size = votes.sum(-1, keepdims=True)[..., None]
    pairs = votes[:, :, None] * votes[:, None, :] - np.einsum("ts,su->tsu", votes, np.eye(votes.shape[1]))
    shares: np.ndarray = np.divide(pairs, size - 1, out=np.zeros(pairs.shape), where=size > 1)
    return shares


def alpha_of(matrix: np.ndarray) -> np.ndarray:
    """Krippendorff's alpha for nominal states from summed coincidences [..., states, states].

    1 for perfect agreement, 0 for chance; nan if all votes are for one state (Krippendorff, Content Analysis, ch. 11).
    """
    by_state = matrix.sum(-1)
    total = by_state.sum(-1)
    differ = total - np.trace(matrix, axis1=-2, axis2=-1)
    expected = _ratio(total**2 - (by_state**2).sum(-1), total - 1)
    return 1 - _ratio(differ, expected)


def calibration_bins(probabilities: np.ndarray, gold: np.ndarray, bins: int) -> list[tuple[int, int, float, float]]:
    """Bins of equal width of confidence, the probability of the predicted state. Bins without texts are left out.

    Args:
        probabilities: [texts, states]
        gold: [texts], class indices; texts whose state is `MISSING` are left out

    Returns:
        for each bin: its index, its number of texts, their mean confidence and their accuracy
    """
    known = gold != MISSING
    confidence = probabilities[known].max(-1)
    right = probabilities[known].argmax(-1) == gold[known]
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        (int(i), int((index == i).sum()), float(confidence[index == i].mean()), float(right[index == i].mean()))
        for i in np.unique(index)
    ]


def expected_calibration_error(probabilities: np.ndarray, gold: np.ndarray, bins: int) -> float:
    """Mean gap between confidence and accuracy over equal-width bins of confidence, weighted by texts.

    Args:
        probabilities: [texts, states]
        gold: [texts]
    """
    known = gold != MISSING
    if not known.any():
        return float("nan")
    confidence = probabilities[known].max(-1)
    right = probabilities[known].argmax(-1) == gold[known]
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / known.sum())


@dataclass(frozen=True)
class Resampled:
    """Scores of one variable over all texts and over bootstrap resamples of its clusters."""

    counts: np.ndarray  # [states, states]
    draws: dict[str, np.ndarray]  # score -> [resamples]

    def value(self, score: str) -> float:
        """The score over all texts."""
        return float(SCORES[score](self.counts))

    def interval(self, score: str) -> list[float]:
        """Its 95 % interval (percentiles)."""
        return interval(self.draws[score])


def interval(draws: np.ndarray) -> list[float]:
    """The 2.5 and 97.5 % percentiles of resampled values. Resamples without a value are left out."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return [float("nan"), float("nan")]
    return [float(q) for q in np.percentile(draws, [2.5, 97.5])]


def resample(
    gold: np.ndarray, predicted: np.ndarray, states: int, clusters: np.ndarray, resamples: int, seed: int
) -> Resampled:
    """Bootstrap over clusters: texts of one cluster are not independent, so they are drawn together.

    Two calls with the same clusters and seed draw the same resamples, so their draws are paired.

    Args:
        gold, predicted: [texts], class indices
        states: number of classes
        clusters: [texts], any labels
    """
    codes, weights = _drawn(clusters, resamples, seed)
    groups = weights.shape[1]
    known = gold != MISSING
    cells = (codes[known] * states + gold[known]) * states + predicted[known]
    by_cluster = np.bincount(cells, minlength=groups * states * states).reshape(groups, states * states)
    drawn = (weights @ by_cluster).reshape(resamples, states, states)
    return Resampled(by_cluster.sum(0).reshape(states, states), {name: score(drawn) for name, score in SCORES.items()})


def resampled_means(values: np.ndarray, clusters: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means of the texts' values, over bootstrap resamples of the clusters of texts.

    `resample` draws the same resamples for the same clusters and seed, so all draws are paired.

    Args:
        values: [texts, columns]; nan where a text has no value, so that the mean of the column leaves it out
        clusters: [texts], any labels

    Returns:
        [resamples, columns]; nan where a resample has no value in the column
    """
    codes, weights = _drawn(clusters, resamples, seed)
    known = np.isfinite(values)
    sums, counts = np.zeros((2, weights.shape[1], values.shape[1]))
    np.add.at(sums, codes, np.where(known, values, 0.0))
    np.add.at(counts, codes, known)
    return _ratio(weights @ sums, weights @ counts)


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson's score; 0 to 1 of nothing.

    Unlike a bootstrap it has a width where all of few cases agree.
    """
    from scipy.stats import binomtest  # slow to import

    if not total:
        return 0.0, 1.0
    ends = binomtest(count, total).proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)


def resampled_sums(matrices: np.ndarray, clusters: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums of the texts' matrices over bootstrap resamples of the clusters of texts, [resamples, ...].

    Args:
        matrices: [texts, ...]
        clusters: [texts], any labels
    """
    codes, weights = _drawn(clusters, resamples, seed)
    by_cluster = np.zeros((weights.shape[1], *matrices.shape[1:]))
    np.add.at(by_cluster, codes, matrices)
    sums: np.ndarray = np.tensordot(weights, by_cluster, axes=1)
    return sums


def _drawn(clusters: np.ndarray, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The number of each text's cluster, [texts], and how often a resample holds a cluster, [resamples, clusters]."""
    _, codes = np.unique(clusters.astype(str), return_inverse=True)
    groups = int(codes.max()) + 1 if len(codes) else 1
    generator = np.random.default_rng([seed, zlib.crc32(codes.astype(np.int64).tobytes())])
    weights = generator.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    return codes, weights.astype(float)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    result: np.ndarray = np.full(np.broadcast(part, whole).shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
