"""Explainers that know only the predictions of a model: controls, and baselines for concept-based explainers.

zero, random  controls
conexp        conditional expectation: the difference of the mean predictions for texts of either state
s_learner     a logistic regression from the states of all concepts to the predicted label, with and without the change;
              the best method of CEBaB's authors without counterfactual training

The last two follow Abraham et al. (arXiv 2205.14140, section 4). There a state that nobody judged is a state of its
own; here it is the state that the table gives, as for the model itself.
"""

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression

from sparsecbm.base.errors import DataError
from sparsecbm.base.metrics import MISSING
from sparsecbm.evaluate.causal.effects import ConceptChanges, Explainer, TextPredictions, one_hot_states
from sparsecbm.train.reproducible import one_blas_thread


def zero(changes: ConceptChanges) -> np.ndarray:
    """No change at all."""
    return np.zeros_like(changes.texts.label)


def random_effects(seed: int) -> Explainer:
    """The difference of two random vectors of probabilities: uniform numbers, scaled so that they sum to 1."""

    def explain(changes: ConceptChanges) -> np.ndarray:
        drawn = np.random.default_rng(seed).random((2, *changes.texts.label.shape))
        first, second = drawn / drawn.sum(-1, keepdims=True)
        return second - first

    return explain


def conexp(training: TextPredictions) -> Explainer:
    """The mean prediction for the training texts with the new gold state, minus that for the old one.

    Raises:
        DataError: no training text has one of the states.
    """
    means = state_means(training, dict.fromkeys(training.gold, training.label))

    def explain(changes: ConceptChanges) -> np.ndarray:
        effects = np.zeros_like(changes.texts.label)
        for name, rows in changes.by_concept():
            effects[rows] = means[name][changes.after[rows]] - means[name][changes.before[rows]]
        return effects

    return explain


@one_blas_thread
def s_learner(training: TextPredictions, base: str = "hard") -> Explainer:
    """Logistic regression from the one-hot gold states of the training texts to the classes that the model predicts.

    Args:
        base: the concepts before a change: the predicted states (`hard`), as CEBaB's authors have it, or `gold`

    Raises:
        DataError: the model predicts the same label for all training texts.
    """
    known = np.all([gold != MISSING for gold in training.gold.values()], axis=0)
    predicted = training.label.argmax(-1)[known]
    if len(np.unique(predicted)) < 2:
        raise DataError(
            "an S-Learner needs training texts with known states of all concepts and with different predicted labels; "
            f"{int(known.sum())} text(s) have such states, and the label is the same for all of them"
        )
    inputs = _concatenated(training.states("gold"))[known]
    regression = LogisticRegression(max_iter=2000).fit(inputs, predicted)

    def predict(states: Mapping[str, np.ndarray]) -> np.ndarray:
        inputs = _concatenated(states)
        probabilities = np.zeros((len(inputs), training.label.shape[1]))
        probabilities[:, regression.classes_] = regression.predict_proba(inputs)
        return probabilities

    def explain(changes: ConceptChanges) -> np.ndarray:
        start = changes.texts.states(base)
        return predict(changes.changed(start, one_hot_states(start))) - predict(start)

    return explain


def state_means(texts: TextPredictions, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Means of values over the texts of each gold state.

    `state_means(training, training.activations)` is the mean activation of the texts of each state.

    Args:
        values: concept -> [texts, any]

    Returns:
        concept -> [states, any]

    Raises:
        DataError: no text has one of the states.
    """
    means = {}
    for name, gold in texts.gold.items():
        by_state = [values[name][gold == state] for state in range(texts.activations[name].shape[1])]
        for state, rows in enumerate(by_state):
            if not len(rows):
                raise DataError(
                    f"no training text has state {state} (from 0) of concept {name!r}, so there is no mean over such "
                    "texts; give texts of every state"
                )
        means[name] = np.stack([rows.mean(0) for rows in by_state])
    return means


def _concatenated(states: Mapping[str, np.ndarray]) -> np.ndarray:
    """All concepts in one matrix, [texts, sum of states]."""
    return np.concatenate(list(states.values()), axis=1)
