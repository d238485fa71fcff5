"""The fitted label head."""

import numpy as np
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.train.label_head import MAX_TEMPERATURE, fit_label_head, fit_temperature


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_learns_a_rule_over_one_hot_concepts(classes):
    states = np.arange(60) % classes
    weight, bias = fit_label_head(np.eye(classes)[states], (states + 1) % classes, classes)
    assert weight.shape == (classes, classes) and bias.shape == (classes,)
    predicted = (np.eye(classes)[states] @ weight.T + bias).argmax(1)
    assert np.array_equal(predicted, (states + 1) % classes)


def test_a_class_without_texts_is_never_predicted():
    states = np.arange(40) % 2
    weight, bias = fit_label_head(np.eye(2)[states], states * 2, classes=3)  # class 1 does not occur
    predicted = (np.eye(2)[states] @ weight.T + bias).argmax(1)
    assert np.array_equal(predicted, states * 2)


def test_one_class_raises_an_error():
    with pytest.raises(DataError, match="fewer than two"):
        fit_label_head(np.eye(2), np.zeros(2, int), 2)


def test_the_temperature_is_the_factor_of_the_logits():
    """The labels have exactly the shares softmax(logits), so T fits T * logits best."""
    shares = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    counts = (10 * shares).astype(int)
    logits = np.repeat(np.log(shares), 10, axis=0)
    labels = np.concatenate([np.repeat(np.arange(3), row) for row in counts])
    for T in (0.5, 1.0, 4.0):
        assert fit_temperature(T * logits, labels) == pytest.approx(T, rel=1e-3)


def test_the_temperature_has_bounds():
    """If every label is predicted correctly, the best temperature is 0; if none is, it is infinite."""
    logits = np.array([[0.5, 0.0], [0.0, 0.5]])
    assert fit_temperature(logits, np.array([0, 1])) == pytest.approx(1 / MAX_TEMPERATURE, rel=1e-3)
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(MAX_TEMPERATURE, rel=1e-3)
    assert fit_temperature(logits[:0], np.array([], int)) == 1
