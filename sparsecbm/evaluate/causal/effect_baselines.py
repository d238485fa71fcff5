"""Explainers that know a model by its predictions only: controls, and what concept-based explanation is compared with.

zero, random  controls
conexp        conditional expectation: the difference of the mean predictions for texts with either state
s_learner     a logistic regression from the states of all concepts to what the model reads, asked with and without
              the change; the best method of CEBaB's authors without counterfactual training

The last two after Abraham et al. (arXiv 2205.14140, section 4). There a state that nobody judged is a state of its own;
here it is whatever the tables say, as for the model itself.
"""

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression

from sparsecbm.base.errors import DataError
from sparsecbm.base.metrics import MISSING
from sparsecbm.evaluate.causal.effects import ConceptChanges, Explainer, TextPredictions, sure
from sparsecbm.train.reproducible import one_blas_thread


def zero(asked: ConceptChanges) -> np.ndarray:
    """Nothing ever changes."""
    return np.zeros_like(asked.texts.label)


def random_effects(seed: int) -> Explainer:
    """The difference of two random vectors of probabilities, each of uniform numbers scaled to add up to 1."""

    def explain(asked: ConceptChanges) -> np.ndarray:
        drawn = np.random.default_rng(seed).random((2, *asked.texts.label.shape))
        first, second = drawn / drawn.sum(-1, keepdims=True)
        return second - first

    return explain


def conexp(training: TextPredictions) -> Explainer:
    """Mean predictions for the training texts with the new gold state minus those for the texts with the old one.

    Raises:
        DataError: no training text has one of the states.
    """
    means = state_means(training, dict.fromkeys(training.gold, training.label))

    def explain(asked: ConceptChanges) -> np.ndarray:
        effects = np.zeros_like(asked.texts.label)
        for name, places in asked.by_concept():
            effects[places] = means[name][asked.after[places]] - means[name][asked.before[places]]
        return effects

    return explain


@one_blas_thread
def s_learner(training: TextPredictions, base: str = "hard") -> Explainer:
    """Logistic regression from one-hot gold states of the training texts to the classes that the model reads.

    Args:
        base: the concepts that a change starts from: the states read (hard), as CEBaB's authors have it, or `gold`

    Raises:
        DataError: the model reads all training texts alike.
    """
    known = np.all([gold != MISSING for gold in training.gold.values()], axis=0)
    read = training.label.argmax(-1)[known]
    if len(np.unique(read)) < 2:
        raise DataError(
            "an S-Learner needs training texts that the model reads as different labels, with known states of all "
            f"concepts; {int(known.sum())} text(s) have such states, and the label is the same for all of them"
        )
    inputs = _side_by_side(training.states("gold"))[known]
    regression = LogisticRegression(max_iter=2000).fit(inputs, read)

    def predicted(states: Mapping[str, np.ndarray]) -> np.ndarray:
        inputs = _side_by_side(states)
        found = np.zeros((len(inputs), training.label.shape[1]))
        found[:, regression.classes_] = regression.predict_proba(inputs)
        return found

    def explain(asked: ConceptChanges) -> np.ndarray:
        start = asked.texts.states(base)
        return predicted(asked.changed(start, sure(start))) - predicted(start)

    return explain


def state_means(texts: TextPredictions, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Means of values over the texts with each gold state.

    `state_means(training, training.activations)` is what texts of each state read on average.

    Args:
        values: concept -> [texts, any]

    Returns:
        concept -> [states, any]

    Raises:
        DataError: no text has one of the states.
    """
    means = {}
    for name, gold in texts.gold.items():
        of_state = [values[name][gold == state] for state in range(texts.activations[name].shape[1])]
        for place, rows in enumerate(of_state):
            if not len(rows):
                raise DataError(
                    f"no training text has state {place} (from 0) of concept {name!r}, so there is no mean over such "
                    "texts; give texts of every state"
                )
        means[name] = np.stack([rows.mean(0) for rows in of_state])
    return means


def _side_by_side(states: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate(list(states.values()), axis=1)
