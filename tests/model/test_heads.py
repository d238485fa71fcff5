"""The label depends on the concepts only."""

import numpy as np
import pytest
import torch

from sparsecbm.api import SparseCBM
from sparsecbm.model.heads import LabelHead, activate, apply_label_head, concatenated_activations
from tests.support.tiny_models import CONCEPTS


def test_activations_by_hand():
    logits = torch.tensor([[0.0, 0.0, torch.log(torch.tensor(2.0))]])
    assert activate(logits, "soft")[0].tolist() == pytest.approx([0.25, 0.25, 0.5])
    assert activate(logits, "hard")[0].tolist() == pytest.approx([0, 0, 1])
    assert activate(logits, "logits") is logits


def test_concatenated_activations_keep_the_order_of_the_concepts():
    logits = {"food": np.log([[1.0, 1.0, 2.0]]), "noise": np.log([[3.0, 1.0]])}
    assert concatenated_activations(logits, "soft")[0].tolist() == pytest.approx([0.25, 0.25, 0.5, 0.75, 0.25])
    assert concatenated_activations(logits, "hard")[0].tolist() == pytest.approx([0, 0, 1, 1, 0])


def test_a_label_head_applies_to_arrays():
    """The rows of V are (1 2 3 4 5), its double and zero; b is (0, 1, 2); the states are food 2 and noise 0."""
    head = LabelHead(CONCEPTS)
    head.set(torch.arange(1.0, 6.0) * torch.tensor([[1.0], [2.0], [0.0]]), torch.tensor([0.0, 1.0, 2.0]))
    assert apply_label_head(head, np.array([[0.0, 0, 1, 1, 0]])).tolist() == [[7.0, 15.0, 2.0]]


def test_a_hard_activation_has_the_gradient_of_the_soft_activation():
    weights = torch.tensor([1.0, 2.0, 3.0])
    gradients = []
    for kind in ("hard", "soft"):
        logits = torch.tensor([[0.3, -0.2, 0.5]], requires_grad=True)
        (activate(logits, kind) * weights).sum().backward()
        gradients.append(logits.grad)
    assert torch.allclose(gradients[0], gradients[1])
    assert gradients[0].abs().sum() > 0


def test_the_label_is_the_sum_of_contributions():
    torch.manual_seed(0)
    head = LabelHead(CONCEPTS)
    assert head.V("food").abs().sum() == 0, "no concept serves the label before it means something"
    head.set(torch.randn(3, 5), torch.randn(3))
    c = {"food": torch.tensor([[0.2, 0.3, 0.5]]), "noise": torch.tensor([[0.9, 0.1]])}
    by_hand = c["food"] @ head.V("food").T + c["noise"] @ head.V("noise").T + head.linear.bias
    assert head.V("food").shape == (3, 3) and head.V("noise").shape == (3, 2)
    assert torch.allclose(head(c), by_hand)


def test_equal_concepts_give_equal_labels_for_every_text(model: SparseCBM, monkeypatch):
    """Activations are the only path to the label, so two texts with equal activations get the same label."""
    texts = ["the food was good", "we came again and again but the place was loud"]
    assert model.logits(texts).label[0].tolist() != model.logits(texts).label[1].tolist()
    fixed = {"food": torch.tensor([[1.0, 0.0, 0.5]]), "noise": torch.tensor([[0.2, 0.1]])}
    monkeypatch.setattr(
        model.concept_heads,
        "forward",
        lambda pooled: {name: fixed[name].expand(len(pooled[name]), -1) for name in fixed},
    )
    label = model.logits(texts).label
    assert label[0].tolist() == label[1].tolist()
