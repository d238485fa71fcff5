"""The order in which candidates tell most of the label together: greedy forward selection."""

from collections.abc import Sequence

import numpy as np

from sparsecbm.annotate.discovery.scores import Fold

RIDGE = 1.0

_Products = tuple[np.ndarray, np.ndarray]


def forward_selection(scores: np.ndarray, labels: np.ndarray, folds: Sequence[Fold], most: int) -> list[int]:
    """Candidates in the order of their gain: each one adds most to those before it.

    The criterion is the cross-validated squared error of a ridge regression from scores to one-hot labels. It is
    computed from products of columns alone, so trying a candidate costs as little for many texts as for few.

    Args:
        scores: [texts, candidates, scores of a candidate]
        labels: [texts], class indices
        folds: indices of texts
        most: candidates to choose

    Returns:
        indices of candidates
    """
    texts, candidates, width = scores.shape
    products = _products(scores.reshape(texts, -1), labels, folds)
    chosen: list[int] = []
    while len(chosen) < min(most, candidates):
        errors = np.full(candidates, np.inf)
        for candidate in set(range(candidates)) - set(chosen):
            errors[candidate] = _error(products, [width * c + i for c in [*chosen, candidate] for i in range(width)])
        chosen.append(int(errors.argmin()))
    return chosen


def cross_validated_errors(
    columns: np.ndarray, labels: np.ndarray, folds: Sequence[Fold], subsets: Sequence[list[int]]
) -> list[float]:
    """The criterion of `forward_selection` for some subsets of the columns [texts, columns].

    Returns:
        for each subset |Y - XW|^2 - |Y|^2, summed over the held-out texts of all folds
    """
    products = _products(columns, labels, folds)
    return [_error(products, subset) for subset in subsets]


def _products(columns: np.ndarray, labels: np.ndarray, folds: Sequence[Fold]) -> list[list[_Products]]:
    """X'X and X'Y of both parts of each fold, where X has a column of ones before the given ones."""
    inputs = np.hstack([np.ones((len(columns), 1)), columns])
    onehot = np.eye(labels.max() + 1)[labels]
    return [[(inputs[part].T @ inputs[part], inputs[part].T @ onehot[part]) for part in fold] for fold in folds]


def _error(products: list[list[_Products]], columns: list[int]) -> float:
    used = [0, *(1 + column for column in columns)]
    return sum(_squared_error(fit, test, used) for fit, test in products)


def _squared_error(fit: _Products, test: _Products, used: list[int]) -> float:
    """|Y - XW|^2 on the held-out texts, less |Y|^2, which does not depend on the columns used."""
    penalty = RIDGE * np.eye(len(used))
    penalty[0, 0] = 1e-9  # the offset is free
    weights = np.linalg.solve(fit[0][np.ix_(used, used)] + penalty, fit[1][used])
    return float((weights * (test[0][np.ix_(used, used)] @ weights - 2 * test[1][used])).sum())
