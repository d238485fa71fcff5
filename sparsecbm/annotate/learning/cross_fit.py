"""Cross-fitting: each labelled text gets its label from a model that learnt from no text of its group."""

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

FOLDS = 5

# Positions among the labelled texts to learn from -> log-probabilities of all texts, [texts, states].
Predict = Callable[[np.ndarray], np.ndarray]


def cross_fit(predict: Predict, known: np.ndarray, states: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Predict unlabelled texts from all labels, and labelled texts from the labels of other groups.

    Args:
        predict: learns from some of the labelled texts
        known: [labelled], the texts with a label
        states: [labelled], indices of their states, which are spread evenly over the folds
        groups: [labelled], texts of one group are in one fold; there are at least two

    Returns:
        log-probabilities, [texts, states]
    """
    result = predict(np.arange(len(known)))
    for learn, held_out in _folds(states, groups, seed):
        result[known[held_out]] = predict(learn)[known[held_out]]
    return result


def _folds(states: np.ndarray, groups: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions to learn from and positions held out, `FOLDS` times, or fewer where there are too few labels."""
    number = min(FOLDS, len(np.unique(groups)), np.unique(states, return_counts=True)[1].max())
    folds = StratifiedGroupKFold(number, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a rare state is not in every fold, and no warning helps
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(folds.split(states, states, groups))
