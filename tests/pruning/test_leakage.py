"""The leakage penalty and the priors of states, by hand."""

from math import log

import pytest
import torch

from sparsecbm.pruning.leakage import leakage_penalty, state_priors
from sparsecbm.train.examples import MISSING, one_hot

PRIORS = {"food": torch.tensor([0.25, 0.5, 0.25]), "noise": torch.tensor([0.5, 0.5])}


def predict_constant(model, probabilities):
    """Make the head of each concept predict the same probabilities for every text."""
    for name, shares in probabilities.items():
        head = model.concept_heads.head(name)
        torch.nn.init.zeros_(head.weight)
        head.bias.data = torch.tensor(shares).log()


@pytest.mark.parametrize(
    ("food", "noise", "expected"),
    [
        ([0.25, 0.5, 0.25], [0.5, 0.5], 0.0),
        # Food's head under the mask of noise: KL((1/4, 1/2, 1/4) || (1/3, 1/3, 1/3)) = log 3 - 1.5 log 2; noise's: 0.
        ([1 / 3, 1 / 3, 1 / 3], [0.5, 0.5], (log(3) - 1.5 * log(2)) / 2),
        # KL((1/2, 1/2) || (1/5, 4/5)) = log 5 - 2 log 2, for the other pair.
        ([0.25, 0.5, 0.25], [0.2, 0.8], (log(5) - 2 * log(2)) / 2),
    ],
)
def test_the_penalty_is_the_divergence_from_the_priors(food, noise, expected, model):
    predict_constant(model, {"food": food, "noise": noise})
    pooled = {"food": torch.randn(3, 16), "noise": torch.randn(3, 16)}
    assert leakage_penalty(model, pooled, PRIORS).item() == pytest.approx(expected, abs=1e-6)


def test_only_the_pooled_texts_get_gradients(model):
    pooled = {"food": torch.randn(3, 16, requires_grad=True)}
    leakage_penalty(model, pooled, PRIORS).backward()
    assert (pooled["food"].grad != 0).any()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_single_concept_has_no_penalty(model):
    texts = torch.randn(3, 16, requires_grad=True)
    penalty = leakage_penalty(model, {"food": texts}, {"food": PRIORS["food"]})
    penalty.backward()
    assert penalty.item() == 0 and not texts.grad.any()


def test_priors_are_the_shares_of_the_known_states():
    """Four of five texts have a known state: shares 2/4, 1/4, 1/4. A state without a text has a prior above 0."""
    gold = torch.tensor([0, 0, 1, 2, MISSING])
    priors = state_priors({"food": one_hot(gold, 3), "noise": one_hot(gold.clamp(max=0), 2)})
    assert priors["food"].tolist() == pytest.approx([0.5, 0.25, 0.25], abs=1e-6)
    assert priors["noise"][1].item() == pytest.approx(1e-6 / 4, rel=0.01)
