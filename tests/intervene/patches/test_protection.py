"""Effects of flips on protected predictions, compared with autograd and with real flips."""

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches import effects as effects_module
from sparsecbm.intervene.patches.bits import toggled
from sparsecbm.intervene.patches.candidates import CandidateOptions, select_candidates
from sparsecbm.intervene.patches.effects import Effects
from sparsecbm.intervene.patches.factors import compute_factors, log_odds
from sparsecbm.intervene.patches.protection import protect
from sparsecbm.intervene.reference import predict_reference
from tests.support.patches import gradients_by_autograd
from tests.support.tiny_tables import annotated


@pytest.fixture
def reference(lively):
    return predict_reference(lively, annotated(30, seed=5))


def test_the_correct_predictions_closest_to_the_decision_boundary_are_protected(lively, reference):
    protection = protect(lively, reference, "noise", texts=4, effects=Effects(lively, "noise", 3))
    right = np.flatnonzero(reference.correct("noise"))
    assert len(right) > 4
    gold = torch.from_numpy(reference.gold["noise"][right])
    odds = log_odds(torch.from_numpy(reference.logits["noise"][right]), gold)
    nearest = sorted(zip(odds.tolist(), reference.texts[right], strict=True))[:4]
    assert sorted(protection.texts) == sorted(text for _, text in nearest)
    assert sorted(protection.gold_log_odds.tolist()) == pytest.approx([odds for odds, _ in nearest])
    assert protection.groups == set(reference.groups)
    for text, state, odds in zip(protection.texts, protection.states, protection.gold_log_odds.tolist(), strict=True):
        row = reference.texts.tolist().index(text)
        assert state == ("loud", "quiet")[reference.gold["noise"][row]]
        expected = np.exp(-odds / 2) / np.exp(-protection.gold_log_odds.numpy() / 2).sum()
        assert protection.weights[protection.texts.index(text)] == pytest.approx(expected, rel=1e-4)


def test_gradients_of_each_text_equal_those_of_autograd(lively, reference):
    """Batches have two texts, padded to one length; the precision is that of bfloat16."""
    protection = protect(lively, reference, "noise", texts=5, effects=Effects(lively, "noise", 2))
    for row, (text, state) in enumerate(zip(protection.texts, protection.states, strict=True)):
        expected = gradients_by_autograd(lively, "noise", text, torch.tensor(("loud", "quiet").index(state)))
        for layer, gradient in expected.items():
            actual = protection.gradients_at(layer, torch.arange(gradient.numel()))[row]
            assert float((actual - gradient.reshape(-1)).norm()) <= 0.01 * float(gradient.norm())


def test_protections_share_the_effects_of_their_texts(lively, reference, monkeypatch):
    """Of two overlapping halves of the texts, only those that the first one lacks are computed for the second."""
    alone = [protect(lively, reference.take(rows), "noise") for rows in (slice(0, 20), slice(10, 30))]
    computed = []
    monkeypatch.setattr(
        effects_module, "compute_factors",
        lambda model, concept, texts, states: computed.extend(texts) or compute_factors(model, concept, texts, states),
    )  # fmt: skip
    effects = Effects(lively, "noise", 4)
    shared = [protect(lively, reference.take(rows), "noise", effects=effects) for rows in (slice(0, 20), slice(10, 30))]
    assert len(computed) == len(set(computed)) == len(set(alone[0].texts) | set(alone[1].texts))
    for mine, its_own in zip(shared, alone, strict=True):
        assert sorted(mine.texts) == sorted(its_own.texts)
        for layer in mine.factors:
            positions = torch.arange(0, 200, 7)
            by_text = dict(zip(its_own.texts, its_own.gradients_at(layer, positions), strict=True))
            gradients = mine.gradients_at(layer, positions)
            for row, text in enumerate(mine.texts):
                assert float((gradients[row] - by_text[text]).norm()) <= 0.01 * float(by_text[text].norm()) + 1e-9
            odds = dict(zip(its_own.texts, its_own.gold_log_odds.tolist(), strict=True))
            assert mine.gold_log_odds.tolist() == pytest.approx([odds[text] for text in mine.texts])


def test_a_text_that_stands_twice_is_computed_once_and_protected_twice(lively, reference):
    twice = protect(lively, reference.take([0, 1, 2, 0, 1, 2]), "noise")
    once = protect(lively, reference.take([0, 1, 2]), "noise")
    assert sorted(twice.texts) == sorted(once.texts * 2)
    layer = next(iter(once.factors))
    of_twice = dict(zip(twice.texts, twice.gradients_at(layer, torch.arange(50)), strict=True))
    of_once = dict(zip(once.texts, once.gradients_at(layer, torch.arange(50)), strict=True))
    assert len(twice.gradients_at(layer, torch.arange(50))) == 2 * len(once.texts)
    assert all(torch.allclose(of_twice[text], of_once[text], rtol=0.01, atol=1e-6) for text in once.texts)


def test_effects_are_the_changes_of_protected_predictions(lively, reference):
    """The test compares columns of candidates' effects with flips of single bits of small weights."""
    protection = protect(lively, reference, "noise", texts=5)
    layer = "encoder.layer.1.output.dense"
    weight = lively.backbone.get_submodule(layer).weight
    small = weight.detach().abs().view(-1).topk(40, largest=False).indices.tolist()
    states = torch.tensor([("loud", "quiet").index(state) for state in protection.states])
    factors = compute_factors(lively, "noise", list(protection.texts), states)[1]
    weights = torch.ones(len(protection.texts))
    options = CandidateOptions((layer,), weight.numel())
    candidates = select_candidates(lively, "noise", factors, weights, options, protection)

    def odds():
        return log_odds(torch.from_numpy(lively.logits(list(protection.texts)).concepts["noise"]).double(), states)

    before = odds()
    for position in small[-5:]:
        with toggled(lively, "noise", {layer: (position,)}):
            change = (odds() - before) * protection.weights.sqrt()
        effects = candidates.effects[:, np.flatnonzero(candidates.position == position)[0]]
        assert np.linalg.norm(effects - change.numpy()) <= 0.05 * np.linalg.norm(change.numpy()) + 1e-6


def test_without_correct_predictions_there_is_no_protection(lively, reference):
    wrong = reference.take(~reference.correct("noise"))
    assert protect(lively, wrong, "noise") is None


def test_the_reference_of_another_model_and_unknown_concepts_are_errors(lively, reference):
    with pytest.raises(InterventionError, match="unknown concept 'price'"):
        protect(lively, reference, "price")
    with (
        toggled(lively, "food", {"encoder.layer.0.output.dense": (0,)}),
        pytest.raises(InterventionError, match="predict it again"),
    ):
        protect(lively, reference, "noise")
