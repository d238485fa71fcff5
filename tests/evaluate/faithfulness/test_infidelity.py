"""Infidelity and max-sensitivity by hand, for a model whose logit is a sum over words."""

import numpy as np
import pytest
import torch

from sparsecbm.evaluate.faithfulness.aopc import Item
from sparsecbm.evaluate.faithfulness.infidelity import (
    RADIUS,
    measure_infidelity,
    measure_sensitivity,
    subject_of_predictions,
)
from sparsecbm.explain.attribution import attribute
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.explain.words import tokenize_words
from sparsecbm.model.batches import encode
from tests.support.linear_model import linear_model
from tests.support.tiny_models import random_masks

TEXTS = ["bad", "good bad food"]
OPTIONS = AttributionOptions(steps=2, max_steps=2)


def explained(model, texts=TEXTS):
    """Return the explained values of the texts, and their logits."""
    logits = model.logits(texts)
    return subject_of_predictions(model, tokenize_words(model.tokenizer, texts, 16), logits, OPTIONS), logits


def item_of(subject, number, concept="food"):
    """Return a text of the subject and a concept; the measures do not use the state."""
    return Item(number, len(subject.texts[number].words), concept, state="", state_index=0)


def infidelity_of(subject, number, scores, samples):
    return measure_infidelity(subject, item_of(subject, number), {"method": scores}, samples, 0)["method"]


def test_methods_use_the_same_word_subsets_and_each_subset_is_computed_once(monkeypatch):
    subject, _ = explained(linear_model())
    calls, compute_values = [], type(subject).compute_values
    monkeypatch.setattr(
        type(subject), "compute_values", lambda *arguments: calls.append(1) or compute_values(*arguments)
    )
    scores = {"one": [1.0, 2.0, 0.0], "same": [1.0, 2.0, 0.0], "other": [-1.0, 0.0, 5.0]}
    infidelity = measure_infidelity(subject, item_of(subject, 1), scores, 20, 0)
    first = len(calls)
    assert infidelity["one"] == infidelity["same"] != infidelity["other"]
    measure_infidelity(subject, item_of(subject, 1), {"one": [1.0, 2.0, 0.0]}, 20, 0)
    assert len(calls) == 2 * first


def test_scores_that_predict_every_change_have_infidelity_0():
    """The value is linear in the words, so integrated gradients are the exact effect of each word."""
    model = linear_model().requires_grad_(False)
    subject, _ = explained(model)
    right = attribute(model, TEXTS, options=OPTIONS)[1]["food"].scores
    assert infidelity_of(subject, 1, right, 50) == pytest.approx(0, abs=1e-6)
    thrice = [3 * score for score in right]
    assert infidelity_of(subject, 1, thrice, 50) == pytest.approx(0, abs=1e-6), "units do not count"
    assert infidelity_of(subject, 1, right[::-1], 50) > 1e-3


def test_infidelity_by_hand():
    """A single word is removed or stays, so a scale fits every score except 0; 0 predicts no change."""
    model = linear_model()
    subject, _ = explained(model)
    assert subject.changes[0, 0] == pytest.approx(0, abs=1e-6), "`bad` has the value of the baseline"
    subject, _ = explained(model, ["good"])
    change = subject.changes[0, 0]
    assert change == pytest.approx((5 - 1) / 3 / 2, abs=1e-6)
    assert infidelity_of(subject, 0, [0.1], 400) == pytest.approx(0, abs=1e-6)
    # The probability of removal is uniform in 0 to 1, so the word is removed half the time.
    assert infidelity_of(subject, 0, [0.0], 400) == pytest.approx(change**2 / 2, rel=0.15)


@pytest.mark.parametrize("method", ["integrated_gradients", "mid_path_gradients"])
def test_max_sensitivity_by_hand(method):
    """The value is linear in the embeddings, so the scores change by the noise, relative to their own norm."""
    model, samples = linear_model().requires_grad_(False), 7
    subject, _ = explained(model)
    sensitivity = measure_sensitivity(subject, item_of(subject, 1), method, OPTIONS, samples, 3)
    generator = torch.Generator().manual_seed(3)
    noise = (torch.rand((samples, 5, 2), generator=generator) * 2 - 1).numpy()
    radius = RADIUS * float(model.backbone.embedding.weight.std())
    slope = np.array([1, 2]) / 2 / 5
    moves = radius * (noise @ slope)[:, 1:4]
    scores = np.array([5 - 1, 1 - 1, 3 - 1]) / 2 / 5
    assert sensitivity == pytest.approx((np.linalg.norm(moves, axis=1) / np.linalg.norm(scores)).max(), rel=1e-4)


@pytest.mark.parametrize("method", ["integrated_gradients", "mid_path_gradients"])
def test_embeddings_without_noise_give_the_same_scores(model, method, monkeypatch):
    model.masks = random_masks(model, masked_from=1)
    model.requires_grad_(False)
    subject, _ = explained(model, ["good", "the food was bad"])
    arguments = (subject, item_of(subject, 1, "noise"), method, OPTIONS, 3, 0)
    assert measure_sensitivity(*arguments) > 1e-3
    monkeypatch.setattr("sparsecbm.evaluate.faithfulness.infidelity.RADIUS", 0.0)
    assert measure_sensitivity(*arguments) == pytest.approx(0, abs=1e-5)


def test_the_explained_values_are_those_of_attribute(model):
    texts = ["good", "the food was bad"]
    subject, logits = explained(model, texts)
    for i, attributions in enumerate(attribute(model, texts, options=OPTIONS)):
        for index, name in enumerate(model.concept_set.names):
            assert attributions[name].change == pytest.approx(subject.changes[i, index], abs=1e-6)
    assert [len(row) for row in encode(model.tokenizer, texts, 16)] == subject.lengths.tolist()
    assert set(logits.concepts) == set(subject.concepts)
