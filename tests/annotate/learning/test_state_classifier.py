"""States from views."""

import numpy as np
import pytest
from scipy.special import logsumexp

from sparsecbm.annotate.learning.likeness import Views
from sparsecbm.annotate.learning.state_classifier import LEAST_PROBABILITY, predict_states


def views(seed: int = 0) -> tuple[Views, np.ndarray]:
    """200 texts of two states. The first column of each view is -1 or 1 by the state, with noise; the rest is noise."""
    generator = np.random.default_rng(seed)
    states = np.arange(200) % 2
    comparisons, content = (generator.normal(size=(200, columns)) for columns in (3, 6))
    for view in (comparisons, content):
        view[:, 0] += 2 * (2 * states - 1)
    return Views(comparisons, content), states


def test_states_are_learnt_from_few_labels():
    both, states = views()
    known = np.arange(40)
    logs = predict_states(both, known, states[known], 2)
    assert logsumexp(logs, axis=1) == pytest.approx(np.zeros(200))
    assert (logs.argmax(1) == states)[40:].mean() > 0.95
    shuffled = np.random.default_rng(1).permutation(states[known])
    assert (predict_states(both, known, shuffled, 2).argmax(1) == states)[40:].mean() < 0.8  # control


def test_a_state_without_labels_keeps_a_small_probability():
    both, states = views()
    probabilities = np.exp(predict_states(both, np.arange(40), 2 * states[:40], 3))
    assert (probabilities[:, 1] < 3 * LEAST_PROBABILITY).all()
    assert (probabilities[:, 1] > 0).all()


def test_one_state_alone_is_certain():
    both, _ = views()
    probabilities = np.exp(predict_states(both, np.arange(10), np.zeros(10, dtype=int), 2))
    expected = np.array([1, LEAST_PROBABILITY]) / (1 + LEAST_PROBABILITY)
    assert probabilities == pytest.approx(np.tile(expected, (200, 1)))
