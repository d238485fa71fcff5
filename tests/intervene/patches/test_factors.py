"""Gradients from factors, compared with autograd at the masked weights."""

import pytest
import torch

from sparsecbm.intervene.patches.factors import Factors, compute_factors, log_odds
from tests.support.patches import gradients_by_autograd
from tests.support.tiny_models import FAMILIES, random_masks, tiny_model, write_backbone

TEXTS = ["the food was good", "slow", "a loud place but we came again"]
STATES = torch.tensor([1, 0, 0])


@pytest.fixture(params=FAMILIES)
def family_model(request, tmp_path):
    return tiny_model(write_backbone(tmp_path / request.param, request.param))


def test_a_layer_by_hand():
    """The gradient is the sum over tokens of slope times input: two texts of two tokens, two inputs, one output."""
    inputs = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 5.0]]])
    slopes = torch.tensor([[[10.0], [1.0]], [[2.0], [3.0]]])
    linear = Factors(inputs, slopes, input_first=False)
    assert linear.at(torch.tensor([0, 1])).tolist() == [[13.0, 24.0], [2.0, 15.0]]
    assert linear.gradient(torch.tensor([1.0, 0.5])).tolist() == [[14.0, 31.5]]
    turned = Factors(slopes, inputs, input_first=True)  # one input, two outputs, in the layout of Conv1D
    assert turned.gradient(torch.tensor([1.0, 0.5])).tolist() == [[14.0, 31.5]]
    assert turned.at(torch.tensor([1, 0])).tolist() == [[24.0, 13.0], [15.0, 2.0]]
    assert linear.compact().at(torch.tensor([0, 1])).tolist() == [[13.0, 24.0], [2.0, 15.0]]
    assert turned.compact().at(torch.tensor([1, 0])).tolist() == [[24.0, 13.0], [15.0, 2.0]]
    assert linear.compact().bytes == 2 * (8 + 4)


@pytest.mark.parametrize("masked_from", [0, 1])
def test_factors_give_the_gradients_of_each_text_in_every_family(family_model, masked_from):
    family_model.masks = random_masks(family_model, masked_from=masked_from)
    logits, factors = compute_factors(family_model, "noise", TEXTS, STATES)
    torch.testing.assert_close(
        logits, torch.from_numpy(family_model.logits(TEXTS).concepts["noise"]), atol=1e-5, rtol=1e-5
    )
    for row, (text, state) in enumerate(zip(TEXTS, STATES, strict=True)):
        expected = gradients_by_autograd(family_model, "noise", text, state)
        assert factors.keys() == expected.keys()
        chosen = torch.eye(len(TEXTS))[row]
        for layer, gradient in expected.items():
            torch.testing.assert_close(factors[layer].gradient(chosen), gradient, atol=1e-5, rtol=1e-3)
            positions = torch.arange(0, gradient.numel(), 7)
            torch.testing.assert_close(
                factors[layer].at(positions)[row], gradient.reshape(-1)[positions], atol=1e-5, rtol=1e-3
            )


def test_bits_that_are_zero_have_effects(lively):
    _, factors = compute_factors(lively, "food", TEXTS[:1], torch.tensor([0]))
    layer = "encoder.layer.1.output.dense"
    gradient = factors[layer].gradient(torch.ones(1))
    assert bool((gradient[~lively.masks["food"][layer]] != 0).any())


def test_another_mask_gives_other_factors(lively):
    _, food = compute_factors(lively, "food", TEXTS, torch.tensor([0, 0, 0]))
    lively.masks = lively.masks.replaced("food", dict(lively.masks["noise"].items()))
    _, other = compute_factors(lively, "food", TEXTS, torch.tensor([0, 0, 0]))
    layer = next(iter(food))
    assert not torch.allclose(food[layer].gradient(torch.ones(3)), other[layer].gradient(torch.ones(3)), rtol=1e-2)


def test_a_frozen_model_gives_the_same_factors_and_gets_no_gradients(lively):
    _, expected = compute_factors(lively, "food", TEXTS, torch.tensor([0, 1, 2]))
    lively.requires_grad_(False).train()
    _, frozen = compute_factors(lively, "food", TEXTS, torch.tensor([0, 1, 2]))
    for layer, factors in expected.items():
        torch.testing.assert_close(frozen[layer].slopes, factors.slopes)
    assert lively.training
    assert all(parameter.grad is None for parameter in lively.parameters())


def test_log_odds_rank_as_cross_entropy_does():
    """dCE/dz = -(1 - p) d(log-odds)/dz. The log-odds of .5 is log 1, and that of .2 is log .25."""
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], dtype=torch.float64)).requires_grad_()
    states = torch.tensor([0, 1])
    odds = log_odds(logits, states)
    torch.testing.assert_close(odds.detach(), torch.tensor([1.0, 0.25], dtype=torch.float64).log())
    odds_gradient = torch.autograd.grad(odds.sum(), logits, retain_graph=True)[0]
    loss_gradient = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, states, reduction="sum"), logits)[0]
    missing = 1 - torch.tensor([[0.5], [0.2]], dtype=torch.float64)
    torch.testing.assert_close(loss_gradient, -missing * odds_gradient)
