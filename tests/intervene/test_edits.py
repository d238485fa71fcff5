"""Edited concepts and the resulting label."""

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ConfigError, InterventionError, ModelError
from sparsecbm.intervene.edits import edited, intervene
from tests.support.tiny_models import tiny_model

TEXTS = ["the food was good", "a loud place but we came again"]


@pytest.fixture
def bottleneck(model):
    """Return the tiny model with a label head by hand: food Positive adds 5 to rating 3, noise loud 9 to rating 1."""
    V = torch.zeros(3, 5)  # food: Negative, Positive, unknown; noise: loud, quiet
    V[2, 1], V[0, 3] = 5.0, 9.0
    model.label_head.set(V, torch.tensor([0.0, 1.0, 0.0]))
    model.add_hard_head().set(2 * V, torch.zeros(3))
    return model


def softmax(values):
    exponents = np.exp(np.asarray(values, float))
    return exponents / exponents.sum()


def test_the_label_after_an_edit_by_hand(bottleneck):
    """Food Positive and noise quiet: u = (0, 1, 5)."""
    edit = intervene(bottleneck, TEXTS[0], {"food": "Positive", "noise": "quiet"})
    assert edit.set_to["food"] == {"Negative": 0.0, "Positive": 1.0, "unknown": 0.0}
    assert edit.after.concepts["food"].state == "Positive"
    assert edit.after.label.state == "3"
    np.testing.assert_allclose(list(edit.after.label.probabilities.values()), softmax([0, 1, 5]), rtol=1e-5)


def test_other_concepts_are_predicted_as_before(bottleneck):
    edit = intervene(bottleneck, TEXTS[0], {"food": "Negative"})
    loud = edit.before.concepts["noise"].probabilities["loud"]
    assert edit.after.concepts["noise"] == edit.before.concepts["noise"]
    np.testing.assert_allclose(list(edit.after.label.probabilities.values()), softmax([9 * loud, 1, 0]), rtol=1e-5)


def test_probabilities_are_used_as_given(bottleneck):
    """Food half Positive, noise quiet: u = (0, 1, 2.5)."""
    for half in ([0.5, 0.5, 0.0], {"Negative": 0.5, "Positive": 0.5}):
        edit = intervene(bottleneck, TEXTS[0], {"food": half, "noise": "quiet"})
        np.testing.assert_allclose(list(edit.after.label.probabilities.values()), softmax([0, 1, 2.5]), rtol=1e-5)


def test_hard_edits_use_the_head_for_one_hot_concepts(bottleneck):
    """Food Positive, noise one-hot as predicted, by the doubled head: u = (0 or 18, 0, 10)."""
    edit = intervene(bottleneck, TEXTS[0], {"food": "Positive"}, head="hard")
    loud = edit.before.concepts["noise"].state == "loud"
    expected = softmax([18.0 * loud, 0, 10])
    np.testing.assert_allclose(list(edit.after.label.probabilities.values()), expected, rtol=1e-5)


def test_the_result_names_the_changes(bottleneck):
    predicted = bottleneck.predict(TEXTS[:1])[0].concepts["food"].state
    other = "Positive" if predicted != "Positive" else "Negative"
    changed = intervene(bottleneck, TEXTS[0], {"food": other, "noise": "quiet"}).changed
    assert "food" in changed
    same = intervene(bottleneck, TEXTS[0], {"food": {predicted: 1.0}})
    assert "food" not in same.changed


def test_a_list_of_texts_gives_a_list_and_a_published_form(bottleneck):
    edits = intervene(bottleneck, TEXTS, {"noise": "loud"})
    assert [edit.text for edit in edits] == TEXTS
    published = edits[1].to_dict()
    assert published["after"]["label"] == edits[1].after.label.state == "1"
    assert published["set_to"] == {"noise": {"loud": 1.0, "quiet": 0.0}}
    assert published["head"] == "soft"


def test_a_block_edits_all_batches_until_it_ends(bottleneck):
    unedited = bottleneck.predict(TEXTS)
    expected = [edit.after for edit in intervene(bottleneck, TEXTS, {"food": "Positive"})]
    with edited(bottleneck, {"food": "Positive"}) as inside:
        predictions = inside.predict(TEXTS, batch_size=1)
        with edited(bottleneck, {"food": "Negative"}):  # the inner block takes precedence
            assert {p.concepts["food"].state for p in bottleneck.predict(TEXTS)} == {"Negative"}
        assert {p.concepts["food"].state for p in bottleneck.predict(TEXTS)} == {"Positive"}
    for one, other in zip(predictions, expected, strict=True):
        assert one.label.state == other.label.state
        np.testing.assert_allclose(
            list(one.label.probabilities.values()), list(other.label.probabilities.values()), atol=1e-5
        )
    assert bottleneck.predict(TEXTS) == unedited


def test_a_block_ends_after_an_error(bottleneck):
    unedited = bottleneck.predict(TEXTS)
    with pytest.raises(KeyError), edited(bottleneck, {"food": "Positive"}):
        raise KeyError
    assert bottleneck.predict(TEXTS) == unedited


def test_a_masked_model_can_be_edited(lively):
    edit = intervene(lively, TEXTS[0], {"food": "unknown"})
    assert edit.after.concepts["food"].probabilities["unknown"] == 1.0
    assert edit.before.concepts == lively.predict(TEXTS[:1])[0].concepts


def test_edited_logits_keep_their_mean_and_have_a_floor(backbone):
    model = tiny_model(backbone, activation="logits")
    raw = model.logits(TEXTS[:1])
    model.label_head.set(torch.eye(5)[:3], torch.zeros(3))  # the label logits are those of food
    label = intervene(model, TEXTS[0], {"food": "Positive"}).after.label.probabilities
    np.testing.assert_allclose(list(label.values()), softmax(np.log([0.01, 1.0, 0.01])), rtol=1e-5)
    with edited(model, {"food": "Positive"}):
        edited_logits = model.logits(TEXTS[:1])
    assert edited_logits.concepts["food"].mean() == pytest.approx(raw.concepts["food"].mean(), abs=1e-5)


def test_a_hard_model_takes_the_most_probable_state(backbone):
    model = tiny_model(backbone, activation="hard")
    model.label_head.set(torch.eye(5)[:3], torch.zeros(3))
    label = intervene(model, TEXTS[0], {"food": [0.2, 0.5, 0.3]}).after.label.probabilities
    np.testing.assert_allclose(list(label.values()), softmax([0, 1, 0]), rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"fod": "Positive"}, InterventionError, r"unknown concept 'fod'. Did you mean 'food'\? Choices: food, noise"),
        ({"food": "positiv"}, ConfigError, r"Did you mean 'Positive'\? Choices: Negative, Positive, unknown"),
        ({"food": {"good": 1.0}}, ConfigError, "unknown state of 'food' 'good'"),
        ({"food": [0.5, 0.5]}, InterventionError, "a probability for each of its states Negative, Positive, unknown"),
        ({"food": [0.5, 0.6, 0.0]}, InterventionError, "add up to 1"),
        ({"food": [1.5, -0.5, 0.0]}, InterventionError, "none negative"),
        ({}, InterventionError, "no concept was set; choices: food, noise"),
    ],
)
def test_errors_for_invalid_edits_name_the_choices(bottleneck, settings, error, message):
    with pytest.raises(error, match=message):
        intervene(bottleneck, TEXTS[0], settings)
    with pytest.raises(error, match=message), edited(bottleneck, settings):
        pass


def test_some_models_and_heads_cannot_be_edited(model, backbone):
    with pytest.raises(ModelError, match="the model has no `hard_head`"):
        intervene(model, TEXTS[0], {"food": "Positive"}, head="hard")
    with pytest.raises(ConfigError, match="unknown label head 'herd'"):
        intervene(model, TEXTS[0], {"food": "Positive"}, head="herd")
    with pytest.raises(InterventionError, match="no concepts to edit"):
        intervene(tiny_model(backbone, mode="standard"), TEXTS[0], {"food": "Positive"})
