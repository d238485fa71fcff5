"""Losses by hand; what is missing adds nothing."""

import math

import pytest
import torch

from sparsecbm.model.cbm import Output
from sparsecbm.train.examples import MISSING, Batch, Examples
from sparsecbm.train.loss import Weights, balanced_weights, cross_entropy, losses

# Softmax of (log 3, 0) is (3/4, 1/4).
LOGITS = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
BY_STATE = (math.log(4 / 3), math.log(4))  # the loss where the first and the second state is right


def a_batch(label, food):
    return Batch(torch.zeros(2, 1), torch.ones(2, 1), torch.tensor(label), {"food": torch.tensor(food)})


def test_cross_entropy_by_hand_and_without_a_target():
    assert cross_entropy(LOGITS, torch.tensor([0, 1])).item() == pytest.approx(sum(BY_STATE) / 2)
    assert cross_entropy(LOGITS, torch.tensor([MISSING, 1])).item() == pytest.approx(BY_STATE[1])
    assert cross_entropy(LOGITS, torch.tensor([MISSING, MISSING])).item() == 0


def test_smoothing_by_hand():
    # A tenth of the target is spread over both states: .95 on the right one.
    expected = 0.95 * BY_STATE[0] + 0.05 * BY_STATE[1]
    assert cross_entropy(LOGITS, torch.tensor([0, 0]), smoothing=0.1).item() == pytest.approx(expected)


def test_each_mode_by_hand():
    output = Output({"food": LOGITS}, {}, LOGITS)
    batch = a_batch([0, 0], [1, 1])
    label, concept = BY_STATE
    for mode, expected in (
        ("standard", label),
        ("joint", label + 0.5 * concept),
        ("sequential", concept),
        ("independent", concept),
    ):
        assert losses(output, batch, mode, 0.5, Weights()).total.item() == pytest.approx(expected), mode


def test_the_concept_loss_is_the_mean_over_concepts():
    output = Output({"food": LOGITS, "noise": LOGITS}, {}, LOGITS)
    batch = Batch(
        torch.zeros(2, 1), torch.ones(2, 1), torch.tensor([0, 0]),
        {"food": torch.tensor([0, 0]), "noise": torch.tensor([1, MISSING])},
    )  # fmt: skip
    assert losses(output, batch, "joint", 1.0, Weights()).concept.item() == pytest.approx(sum(BY_STATE) / 2)


def test_a_missing_state_has_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    output = Output({"food": logits}, {}, LOGITS)
    losses(output, a_batch([0, 0], [MISSING, 1]), "joint", 1.0, Weights()).total.backward()
    assert logits.grad[0].abs().sum() == 0
    assert logits.grad[1].abs().sum() > 0


def test_balanced_weights_by_hand():
    data = Examples([[1]] * 4, torch.tensor([0, 0, 0, 2]), {"food": torch.tensor([1, 0, MISSING, 1])})
    weights = balanced_weights(data, {"food": 2}, classes=3)
    # Label: 4 texts, 2 classes occur: 4/(2*3), none, 4/(2*1). Food: 3 known, 3/(2*1), 3/(2*2).
    assert weights.label.tolist() == pytest.approx([4 / 6, 0, 2])
    assert weights.concepts["food"].tolist() == pytest.approx([1.5, 0.75])
