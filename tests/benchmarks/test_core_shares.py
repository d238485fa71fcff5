"""The loss that would choose a core, by hand."""

import sys
from math import log
from pathlib import Path

import numpy as np
import pytest

from sparsecbm.evaluate.variables import VariablePredictions


@pytest.fixture
def module(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "benchmarks"), *sys.path])
    import core_shares

    return core_shares


def test_the_loss_leaves_unknown_states_out(module):
    probabilities = np.array([[0.5, 0.5], [0.9, 0.1], [0.8, 0.2]])
    gold = np.array([0, -100, 1])
    variable = VariablePredictions(("no", "yes"), gold, probabilities, np.arange(3))
    assert module.log_loss(variable) == pytest.approx((log(2) + log(5)) / 2)


def of_loss(concepts: float, label: float = 1.0) -> dict:
    return {"held_out": {"concepts": concepts, "label": label}}


def test_the_core_with_the_lowest_loss_of_the_concepts_is_chosen(module):
    assert module.chosen_core({"0.7": of_loss(0.4, label=0.1), "0.9": of_loss(0.3), "0.95": of_loss(0.5)}) == "0.9"


def test_the_smaller_of_equal_cores_is_chosen(module):
    assert module.chosen_core({"0.9": of_loss(0.3), "0.7": of_loss(0.3)}) == "0.7"
