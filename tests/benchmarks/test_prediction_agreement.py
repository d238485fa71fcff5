"""Shares of equal predictions, by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

from sparsecbm.model.cbm import Logits


@pytest.fixture
def module(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "benchmarks"), *sys.path])
    import prediction_agreement

    return prediction_agreement


def logits(label: list[int], **concepts: list[int]) -> Logits:
    """Logits whose largest ones are at these indices of three states."""
    rows = {name: np.eye(3, dtype=np.float32)[states] for name, states in {"label": label, **concepts}.items()}
    return Logits(label=rows.pop("label"), concepts=rows)


def test_shares_of_equal_labels_and_of_equal_states_of_all_concepts(module):
    reference = logits([0, 1, 2, 0], food=[0, 0, 1, 1], noise=[2, 2, 2, 2])
    other = logits([0, 1, 2, 1], food=[0, 0, 1, 1], noise=[2, 0, 0, 2])
    assert module.equal_shares(other, reference) == {"label_equal": 0.75, "states_equal": 0.75}
    assert module.equal_shares(reference, reference) == {"label_equal": 1.0, "states_equal": 1.0}
