"""What a text says on a candidate: whether it mentions it, and towards which end of the label."""

from collections.abc import Sequence

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedGroupKFold

from sparsecbm.annotate.discovery.candidates import Candidate
from sparsecbm.annotate.discovery.corpus import Corpus

FOLDS = 5

Fold = tuple[np.ndarray, np.ndarray]  # indices of texts to fit on, and of those held out


def group_folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> list[Fold]:
    """Folds that divide no group, with labels spread as evenly as groups allow."""
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    return list(splitter.split(labels, labels, groups))


def label_axis(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The direction that tells the classes of the label apart best: Fisher's first discriminant, [width + 1].

    Its last entry is the offset, so that the mean text has the degree 0; the degrees of the given texts have the
    standard deviation 1. It points to the last class.

    Args:
        vectors: [texts, width]
        labels: [texts], class indices
    """
    model = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto", n_components=1).fit(vectors, labels)
    axis = model.scalings_[:, 0]
    degrees = (vectors - vectors.mean(0)) @ axis
    rising = np.corrcoef(degrees, labels)[0, 1] >= 0
    axis = (axis if rising else -axis) / max(float(degrees.std()), 1e-12)
    return np.append(axis, -vectors.mean(0) @ axis)


def concept_scores(candidates: Sequence[Candidate], corpus: Corpus, axis: np.ndarray) -> np.ndarray:
    """The scores of texts on candidates, [texts, candidates, 2]: mention (0 or 1), and degree (-1 to 1).

    The degree is tanh of the mean position, on the axis of the label, of the clauses that mention the candidate; 0
    without any. So a pair of scores says what a concept with two opposite states and `unknown` says.
    """
    positions = corpus.vectors @ axis[:-1] + axis[-1]
    scores = np.zeros((len(corpus.texts), len(candidates), 2))
    for number, candidate in enumerate(candidates):
        owner = corpus.owners[candidate.mentions]
        count = np.bincount(owner, minlength=len(corpus.texts))
        total = np.bincount(owner, weights=positions[candidate.mentions], minlength=len(corpus.texts))
        scores[:, number, 0] = count > 0
        scores[:, number, 1] = np.tanh(total / np.maximum(1, count))
    return scores


def cross_fitted_scores(
    candidates: Sequence[Candidate], corpus: Corpus, texts: np.ndarray, folds: Sequence[Fold]
) -> np.ndarray:
    """Scores of some texts, each by an axis that was fitted on the other folds, [len(texts), candidates, 2].

    Args:
        texts: indices of texts
        folds: indices into `texts`
    """
    vectors = corpus.text_vectors()
    scores = np.zeros((len(texts), len(candidates), 2))
    for fitted, held_out in folds:
        axis = label_axis(vectors[texts[fitted]], corpus.labels[texts[fitted]])
        scores[held_out] = concept_scores(candidates, corpus, axis)[texts[held_out]]
    return scores
