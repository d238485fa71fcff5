"""The states of texts from their views, learnt from the labels of people."""

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsecbm.annotate.learning.likeness import Views
from sparsecbm.train.reproducible import one_blas_thread

# Inverse strengths of the L2 penalty on standardised features; a view with more features needs a stronger penalty.
COMPARISONS_STRENGTH, CONTENT_STRENGTH = 0.1, 0.03
LEAST_PROBABILITY = 1e-3  # of a state; few labels cannot rule one out


@one_blas_thread
def predict_states(views: Views, known: np.ndarray, states: np.ndarray, number: int) -> np.ndarray:
    """Fit a logistic regression to each view of the labelled texts, and multiply their probabilities for all texts.

    Args:
        views: of all texts
        known: [labelled], the texts with a label
        states: [labelled], indices of their states
        number: of states

    Returns:
        logarithms of probabilities, [texts, states]
    """
    both = [
        _log_probabilities(views.comparisons, known, states, number, COMPARISONS_STRENGTH),
        _log_probabilities(views.content, known, states, number, CONTENT_STRENGTH),
    ]
    return log_softmax(np.mean(both, axis=0), axis=1)


def _log_probabilities(
    features: np.ndarray, known: np.ndarray, states: np.ndarray, number: int, strength: float
) -> np.ndarray:
    present = np.unique(states)
    probabilities = np.full((len(features), number), LEAST_PROBABILITY)
    if len(present) == 1:
        probabilities[:, present] = 1.0
    else:
        model: Pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        probabilities[:, present] = model.fit(features[known], states).predict_proba(features)
    return np.log(np.maximum(probabilities, LEAST_PROBABILITY))
