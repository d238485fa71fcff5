"""Explainers on label heads and tables with effects by hand."""

import numpy as np
import pytest
import torch

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import ConfigError, DataError, ModelError
from sparsecbm.evaluate.causal.counterfactuals import Pairs
from sparsecbm.evaluate.causal.effect_baselines import conexp, random_effects, s_learner, state_means, zero
from sparsecbm.evaluate.causal.effects import (
    ConceptChanges,
    TextPredictions,
    concept_changes,
    concept_edit,
    concept_replacement,
    label_probabilities,
    predict_activations,
    predict_texts,
)
from sparsecbm.model.heads import LabelHead
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import annotated

SMALL = ConceptSet(
    (Concept("food", ("bad", "good", "none")), Concept("noise", ("loud", "quiet"))), Concept("y", ("0", "1"))
)


@pytest.fixture
def head():
    """Return a head with u_1 - u_0 = 2 for good food, -2 for bad food, 1 for quiet, and 0 otherwise."""
    head = LabelHead(SMALL)
    V = torch.tensor([[1.0, -1, 0, 0, -0.5], [-1, 1, 0, 0, 0.5]])
    head.set(V, torch.zeros(2))
    return head


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def both(second):
    """Return effects on both classes from those on the second class."""
    return np.stack([-np.asarray(second), second], axis=1)


@pytest.fixture
def changes(head):
    """Return changes of two texts: good food becomes bad in the first, and a loud place becomes quiet in the second."""
    activations = {
        "food": np.array([[0.1, 0.6, 0.3], [0.0, 0.2, 0.8]]),
        "noise": np.array([[0.5, 0.5], [0.9, 0.1]]),
    }
    gold = {"food": np.array([1, 0]), "noise": np.array([1, -100])}
    texts = TextPredictions(label_probabilities(head, activations), activations, gold)
    return ConceptChanges(texts, np.array([4, 2]), np.array(["food", "noise"]), np.array([1, 0]), np.array([0, 1]))


def test_a_concept_edit_from_the_activations_by_hand(head, changes):
    # Before: 2 * (.6 - .1) + .5 = 1.5 and 2 * .2 + .1 = .5. After: -2 + .5 and .4 + 1.
    expected = [sigmoid(-1.5) - sigmoid(1.5), sigmoid(1.4) - sigmoid(0.5)]
    np.testing.assert_allclose(concept_edit(head)(changes), both(expected), atol=1e-7)


def test_a_hard_edit_starts_from_the_predicted_states_and_a_gold_edit_from_the_annotated_ones(head, changes):
    # Predicted: good and loud, none and loud. Gold: good and quiet, bad and unknown (so loud, as predicted).
    hard = [sigmoid(-2) - sigmoid(2), sigmoid(1) - sigmoid(0)]
    gold = [sigmoid(-2 + 1) - sigmoid(2 + 1), sigmoid(-2 + 1) - sigmoid(-2)]
    np.testing.assert_allclose(concept_edit(head, "hard")(changes), both(hard), atol=1e-7)
    np.testing.assert_allclose(concept_edit(head, "gold")(changes), both(gold), atol=1e-7)


def test_an_edit_to_typical_activations_by_hand(head, changes):
    by_state = {"food": np.array([[0.7, 0.1, 0.2], [0, 1, 0], [0, 0, 1]]), "noise": np.array([[1, 0], [0.2, 0.8]])}
    expected = [sigmoid(-1.2 + 0.5) - sigmoid(1.5), sigmoid(0.4 + 0.8) - sigmoid(0.5)]
    np.testing.assert_allclose(concept_edit(head, by_state=by_state)(changes), both(expected), atol=1e-7)


def test_a_replacement_comes_from_its_row_and_other_concepts_do_not_change(head, changes):
    other = {"food": np.full((5, 3), np.nan), "noise": np.full((5, 2), np.nan)}
    other["food"][4] = [0, 0, 1]
    other["noise"][2] = [0.9, 0.1]  # the same values, so nothing changes
    np.testing.assert_allclose(
        concept_replacement(head, other)(changes), both([sigmoid(0.5) - sigmoid(1.5), 0]), atol=1e-7
    )


def test_explainers_do_not_change_their_input(head, changes):
    before = {name: values.copy() for name, values in changes.texts.activations.items()}
    other = {"food": np.zeros((5, 3)), "noise": np.zeros((5, 2))}
    for explain in (concept_edit(head), concept_edit(head, "hard"), concept_replacement(head, other)):
        explain(changes)
    for name, values in changes.texts.activations.items():
        np.testing.assert_array_equal(values, before[name])


def test_the_error_for_an_unknown_base_names_the_choices(head, changes):
    with pytest.raises(ConfigError, match=r"unknown base 'golden'.*Choices: soft, hard, gold"):
        concept_edit(head, "golden")(changes)


def training_texts(rows, seed=0):
    """Return texts with random gold states; the second class has probability .8 with good food and .2 without."""
    draw = np.random.default_rng(seed)
    gold = {"food": draw.integers(0, 3, rows), "noise": draw.integers(0, 2, rows)}
    second = np.where(gold["food"] == 1, 0.8, 0.2)
    activations = {"food": np.eye(3)[gold["food"]], "noise": np.eye(2)[gold["noise"]]}
    return TextPredictions(np.stack([1 - second, second], axis=1), activations, gold)


def test_conditional_expectation_by_hand(changes):
    effects = conexp(training_texts(50))(changes)
    np.testing.assert_allclose(effects, both([-0.6, 0]), atol=0.2)
    assert effects[0] == pytest.approx([0.6, -0.6])  # all texts with good food have the same probability
    texts = TextPredictions(
        np.array([[0.9, 0.1], [0.5, 0.5], [0.3, 0.7], [0.2, 0.8]]),
        {"food": np.zeros((4, 3)), "noise": np.zeros((4, 2))},
        {"food": np.array([0, 1, 1, 2]), "noise": np.array([0, 1, -100, 0])},
    )
    np.testing.assert_allclose(conexp(texts)(changes), both([0.1 - 0.6, 0.5 - 0.45]))


def test_a_state_without_training_texts_is_an_error():
    texts = training_texts(50)
    texts.gold["noise"][:] = 0
    with pytest.raises(DataError, match=r"no training text has state 1 .* of concept 'noise'"):
        state_means(texts, texts.activations)


def test_an_s_learner_finds_the_concept_that_determines_the_label(changes):
    effects = s_learner(training_texts(400))(changes)
    assert effects[0, 1] < -0.9  # the predicted class is the second only with good food
    assert abs(effects[1, 1]) < 0.05
    gold = s_learner(training_texts(400), "gold")(changes)
    np.testing.assert_allclose(gold[0], effects[0], atol=0.05)
    shuffled = training_texts(400)
    blind = TextPredictions(np.random.default_rng(1).permutation(shuffled.label), shuffled.activations, shuffled.gold)
    assert np.abs(s_learner(blind)(changes)).max() < 0.2


def test_an_s_learner_gives_a_label_without_predictions_probability_0(changes):
    texts = training_texts(60)
    label = np.insert(texts.label, 1, 0.0, axis=1)
    three = ConceptChanges(
        TextPredictions(np.insert(changes.texts.label, 1, 0.0, axis=1), changes.texts.activations, changes.texts.gold),
        changes.row, changes.concept, changes.before, changes.after,
    )  # fmt: skip
    effects = s_learner(TextPredictions(label, texts.activations, texts.gold))(three)
    assert effects.shape == (2, 3) and not effects[:, 1].any() and effects[0, 2] < -0.5


def test_an_s_learner_needs_two_labels():
    texts = training_texts(60)
    with pytest.raises(DataError, match="60 text"):
        s_learner(TextPredictions(np.tile([0.9, 0.1], (60, 1)), texts.activations, texts.gold))


def test_random_effects_depend_on_the_seed_and_zero_effects_are_zero(changes):
    np.testing.assert_array_equal(zero(changes), np.zeros((2, 2)))
    effects = random_effects(3)(changes)
    np.testing.assert_array_equal(effects, random_effects(3)(changes))
    assert not np.allclose(effects, random_effects(4)(changes))
    np.testing.assert_allclose(effects.sum(1), 0, atol=1e-12)
    assert np.abs(effects).max() <= 1


def test_a_concept_edit_is_the_change_of_the_output_of_the_label_head(model):
    frame = annotated(6, seed=0)
    texts = predict_texts(model, frame)
    logits = model.logits(frame["text"].tolist())
    pairs = Pairs(np.array([3]), np.array([0]), *(np.array([x]) for x in ("food", "unknown", "Positive", "g")))
    effects = concept_edit(model.label_head)(concept_changes(model, texts, pairs))
    with torch.inference_mode():
        concepts = {name: torch.from_numpy(values[3:4]).softmax(-1) for name, values in logits.concepts.items()}
        before = model.label_head(concepts).softmax(-1).numpy()
        after = model.label_head(concepts | {"food": torch.tensor([[0.0, 1, 0]])}).softmax(-1).numpy()
    np.testing.assert_allclose(effects, after - before, atol=1e-6)
    assert np.abs(effects).max() > 1e-3
    np.testing.assert_allclose(predict_activations(model, frame["text"].tolist())["food"], texts.activations["food"])
    assert texts.gold["food"].tolist() == [model.concept_set["food"].index(s) for s in frame["concept.food"]]


def test_a_model_without_concepts_is_an_error(backbone):
    with pytest.raises(ModelError, match="mode `standard`"):
        predict_texts(tiny_model(backbone, mode="standard"), annotated(2, seed=0))
