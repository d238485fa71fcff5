"""The fitted label head."""

import numpy as np
import pytest

from sparsecbm.errors import DataError
from sparsecbm.train.label_head import fit_label_head


@pytest.mark.parametrize("classes", [2, 3])
def test_it_finds_a_rule_that_one_hot_concepts_decide(classes):
    states = np.arange(60) % classes
    weight, bias = fit_label_head(np.eye(classes)[states], (states + 1) % classes, classes)
    assert weight.shape == (classes, classes) and bias.shape == (classes,)
    read = (np.eye(classes)[states] @ weight.T + bias).argmax(1)
    assert np.array_equal(read, (states + 1) % classes)


def test_a_class_without_texts_is_never_read():
    states = np.arange(40) % 2
    weight, bias = fit_label_head(np.eye(2)[states], states * 2, classes=3)  # class 1 does not occur
    read = (np.eye(2)[states] @ weight.T + bias).argmax(1)
    assert np.array_equal(read, states * 2)


def test_one_class_is_refused():
    with pytest.raises(DataError, match="fewer than two"):
        fit_label_head(np.eye(2), np.zeros(2, int), 2)
