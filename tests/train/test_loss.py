"""Losses by hand. Missing labels add nothing."""

import math

import pandas as pd
import pytest
import torch

from sparsecbm.model.cbm import Output
from sparsecbm.train.examples import MISSING, Batch, Examples, build_examples, one_hot, target_weight
from sparsecbm.train.loss import ClassWeights, ConceptLoss, balanced_class_weights, cross_entropy, mode_losses

# Softmax of (log 3, 0) is (3/4, 1/4).
LOGITS = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
BY_STATE = (math.log(4 / 3), math.log(4))  # the loss if the first or the second state is correct


def targets(*gold):
    return one_hot(torch.tensor(gold), 2)


def make_batch(label, food):
    return Batch(torch.zeros(2, 1), torch.ones(2, 1), targets(*label), {"food": targets(*food)})


def test_cross_entropy_with_and_without_a_target_by_hand():
    assert cross_entropy(LOGITS, targets(0, 1)).item() == pytest.approx(sum(BY_STATE) / 2)
    assert cross_entropy(LOGITS, targets(MISSING, 1)).item() == pytest.approx(BY_STATE[1])
    assert cross_entropy(LOGITS, targets(MISSING, MISSING)).item() == 0


def test_smoothing_by_hand():
    # A tenth of the target is spread over both states: .95 on the correct one.
    expected = 0.95 * BY_STATE[0] + 0.05 * BY_STATE[1]
    assert cross_entropy(LOGITS, targets(0, 0), settings=ConceptLoss(smoothing=0.1)).item() == pytest.approx(expected)


def test_without_smoothing_and_shares_the_loss_equals_that_of_torch():
    gold, weight = torch.tensor([0, 1, MISSING]), torch.tensor([0.5, 2.0])
    logits = torch.tensor([[1.0, -2.0], [0.3, 0.4], [9.0, 9.0]])
    expected = torch.nn.functional.cross_entropy(logits, gold, weight=weight, ignore_index=MISSING)
    torch.testing.assert_close(cross_entropy(logits, one_hot(gold, 2), weight), expected)


def test_shares_of_votes_by_hand():
    shares = torch.tensor([[0.8, 0.2], [0.0, 0.0]])  # the second text has no votes
    expected = 0.8 * BY_STATE[0] + 0.2 * BY_STATE[1]
    assert cross_entropy(LOGITS, shares).item() == pytest.approx(expected)


def test_a_target_counts_by_what_it_adds_up_to():
    """A text of weight 1/4 beside one of weight 1; a weight of 0 is the same as an unknown class."""
    weighted = torch.tensor([[0.25, 0.0], [0.0, 1.0]])
    expected = (0.25 * BY_STATE[0] + BY_STATE[1]) / 1.25
    assert cross_entropy(LOGITS, weighted).item() == pytest.approx(expected)
    none = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    assert cross_entropy(LOGITS, none).item() == cross_entropy(LOGITS, targets(MISSING, 1)).item()
    assert cross_entropy(LOGITS, 0.25 * targets(0, 1)).item() == pytest.approx(sum(BY_STATE) / 2)  # all alike


def test_smoothing_keeps_the_weight_of_a_target():
    weighted = torch.tensor([[0.25, 0.0], [0.0, 1.0]])
    first, second = 0.95 * BY_STATE[0] + 0.05 * BY_STATE[1], 0.05 * BY_STATE[0] + 0.95 * BY_STATE[1]
    smoothed = cross_entropy(LOGITS, weighted, settings=ConceptLoss(smoothing=0.1)).item()
    assert smoothed == pytest.approx((0.25 * first + second) / 1.25)


def test_shares_that_add_up_to_nearly_1_have_the_weight_1():
    shares = torch.tensor([[2 / 7, 4 / 7, 1 / 7]])
    assert shares.sum().item() != 1  # in float32
    assert target_weight(shares).tolist() == [[1.0]]
    assert target_weight(torch.tensor([[0.3, 0.0], [0.0, 0.0]])).flatten().tolist() == pytest.approx([0.3, 0])


def test_the_generalised_cross_entropy_by_hand():
    """(1 - p^q) / q with p = 3/4 and p = 1/4 (Zhang and Sabuncu, eq. 6)."""
    by_state = [(1 - p**0.7) / 0.7 for p in (3 / 4, 1 / 4)]
    robust = ConceptLoss(robustness=0.7)
    assert cross_entropy(LOGITS, targets(0, 1), settings=robust).item() == pytest.approx(sum(by_state) / 2)
    shares = torch.tensor([[0.8, 0.2], [0.0, 0.0]])
    expected = 0.8 * by_state[0] + 0.2 * by_state[1]
    assert cross_entropy(LOGITS, shares, settings=robust).item() == pytest.approx(expected)
    # With q near 0 it is the plain cross-entropy.
    near = cross_entropy(LOGITS, targets(0, 1), settings=ConceptLoss(robustness=1e-3)).item()
    assert near == pytest.approx(sum(BY_STATE) / 2, rel=2e-3)


def test_a_label_that_contradicts_the_model_moves_it_less_under_the_robust_loss():
    """The gradient is p^q times that of the cross-entropy, for a text whose label has the probability p."""
    gradients = {}
    for q in (0.0, 0.7):
        for gold in (0, 1):
            logits = LOGITS[:1].clone().requires_grad_()
            cross_entropy(logits, targets(gold), settings=ConceptLoss(robustness=q)).backward()
            gradients[q, gold] = logits.grad
    torch.testing.assert_close(gradients[0.7, 0], gradients[0.0, 0] * 0.75**0.7)
    torch.testing.assert_close(gradients[0.7, 1], gradients[0.0, 1] * 0.25**0.7)


def test_targets_are_shares_of_votes_or_otherwise_the_majority(model):
    frame = pd.DataFrame(
        {
            "text": ["good food", "bad food", "the food"],
            "label": ["1", None, None],
            "concept.food": ["Positive", None, "unknown"],
            "concept.noise": ["loud", None, None],
            "share.food.Negative": [0.25, 0.5, None],
            "share.food.Positive": [0.75, 0.5, None],
            "share.food.unknown": [0.0, 0.0, None],
        }
    )
    by_votes, by_majority = build_examples(frame, model, "votes"), build_examples(frame, model, "majority")
    assert by_votes.concept_targets["food"].tolist() == [[0.25, 0.75, 0], [0.5, 0.5, 0], [0, 0, 1]]
    assert by_majority.concept_targets["food"].tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert by_votes.concepts["food"].tolist() == [1, MISSING, 2]  # for scores, the majority counts
    assert by_votes.label_target.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_each_mode_by_hand():
    output = Output({"food": LOGITS}, {}, LOGITS)
    batch = make_batch([0, 0], [1, 1])
    label, concept = BY_STATE
    for mode, expected in (
        ("standard", label),
        ("joint", label + 0.5 * concept),
        ("sequential", concept),
        ("independent", concept),
    ):
        assert mode_losses(output, batch, mode, 0.5, ClassWeights()).total.item() == pytest.approx(expected), mode


def test_the_concept_loss_is_the_mean_over_concepts():
    output = Output({"food": LOGITS, "noise": LOGITS}, {}, LOGITS)
    batch = Batch(
        torch.zeros(2, 1), torch.ones(2, 1), targets(0, 0),
        {"food": targets(0, 0), "noise": targets(1, MISSING)},
    )  # fmt: skip
    assert mode_losses(output, batch, "joint", 1.0, ClassWeights()).concept.item() == pytest.approx(sum(BY_STATE) / 2)


def test_a_missing_state_has_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    output = Output({"food": logits}, {}, LOGITS)
    mode_losses(output, make_batch([0, 0], [MISSING, 1]), "joint", 1.0, ClassWeights()).total.backward()
    assert logits.grad[0].abs().sum() == 0
    assert logits.grad[1].abs().sum() > 0


def test_balanced_weights_by_hand():
    label, food = torch.tensor([0, 0, 0, 2]), torch.tensor([1, 0, MISSING, 1])
    data = Examples([[1]] * 4, label, {"food": food}, one_hot(label, 3), {"food": one_hot(food, 2)})
    weights = balanced_class_weights(data, {"food": 2}, classes=3)
    # Label: 4 texts, 2 classes occur: 4/(2*3), none, 4/(2*1). Food: 3 known, 3/(2*1), 3/(2*2).
    assert weights.label.tolist() == pytest.approx([4 / 6, 0, 2])
    assert weights.concepts["food"].tolist() == pytest.approx([1.5, 0.75])
