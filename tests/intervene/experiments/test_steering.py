"""Steering: which heads a probe chooses, what is added, and the smallest strength that is enough."""

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.experiments.steering import (
    Steering,
    _fit_probe,
    _mean_outputs,
    find_strength,
    fit_steering,
    steered,
)
from sparsecbm.intervene.reference import predict_concept_logits
from tests.support.patches import STATES, food_state, other_food_state
from tests.support.tiny_tables import annotated

TEXT = "a loud place but we came again and the food was bad"
LAYER = "encoder.layer.1.attention.output.dense"
TEXTS = annotated(60, seed=5)


@pytest.fixture
def classes(lively):
    """Return texts by predicted state of food."""
    states = [food_state(lively, text) for text in TEXTS["text"]]
    return {kind: [t for t, s in zip(TEXTS["text"], states, strict=True) if s == kind] for kind in STATES}


def test_a_probe_is_the_difference_of_means_and_is_judged_on_other_texts():
    """The second number separates the classes, by 4 with a deviation of 2; one text that was left out is on the
    wrong side, so one class has half of its two texts right."""
    outputs = np.array([[0.0, 5], [0, 5], [0, 5], [0, 0], [0, 1], [0, 1], [0, 1], [0, 1]])
    wanted, fitted = np.arange(8) < 4, np.array([1, 1, 0, 0, 1, 1, 0, 0], bool)
    accuracy, step = _fit_probe(outputs, wanted, fitted)
    assert accuracy == 0.75
    np.testing.assert_allclose(step, [0, 2])


def test_outputs_of_heads_are_means_over_tokens_without_padding(lively):
    short, long = "the food was good", TEXT
    together = _mean_outputs(lively, "food", [short, long], (LAYER,))[LAYER]
    alone = _mean_outputs(lively, "food", [short], (LAYER,))[LAYER]
    np.testing.assert_allclose(together[:1], alone, atol=1e-6)
    recorded = []
    layer = lively.backbone.get_submodule(LAYER)
    handle = layer.register_forward_pre_hook(lambda _, inputs: recorded.append(inputs[0]))
    predict_concept_logits(lively, "food", [short])
    handle.remove()
    np.testing.assert_allclose(alone[0], recorded[0][0].mean(0).numpy(), atol=1e-6)


def test_a_shift_is_added_to_the_outputs_of_heads_and_gone_after_the_block(lively):
    shift = torch.linspace(-1, 1, 16)
    before = predict_concept_logits(lively, "food", [TEXT])[0]
    layer = lively.backbone.get_submodule(LAYER)
    with steered(lively, Steering("food", {LAYER: shift}, (1.0,)), 3.0):
        with_steering = predict_concept_logits(lively, "food", [TEXT])[0]
    moved = layer.bias.detach().clone()
    index = lively.concept_set.names.index("food")
    with torch.no_grad():  # the same as a change of the bias by W m times the shift
        layer.bias += layer.masked_weight(index) @ (3.0 * shift)
        by_bias = predict_concept_logits(lively, "food", [TEXT])[0]
        layer.bias.copy_(moved)
    np.testing.assert_allclose(with_steering, by_bias, atol=1e-5)
    assert np.abs(with_steering - before).max() > 1e-3
    np.testing.assert_array_equal(predict_concept_logits(lively, "food", [TEXT])[0], before)


def test_the_strength_is_enough_and_hardly_more(lively, classes):
    target = other_food_state(lively, TEXT)
    steering = fit_steering(lively, "food", classes[target], classes[food_state(lively, TEXT)])
    assert steering.accuracies == tuple(sorted(steering.accuracies, reverse=True)) and len(steering.accuracies) == 4
    state = STATES.index(target)
    strength = find_strength(lively, steering, TEXT, state, 0.05)
    assert strength is not None
    for share, reached in ((1.0, True), (0.9, False)):
        with steered(lively, steering, share * strength):
            logits = predict_concept_logits(lively, "food", [TEXT])[0][0]
        assert bool(logits[state] - np.delete(logits, state).max() >= 0.05) is reached
    assert find_strength(lively, steering, TEXT, state, 1e6) is None


def test_too_few_texts_are_an_error(lively):
    with pytest.raises(InterventionError, match="needs five texts of each of two states"):
        fit_steering(lively, "food", TEXTS["text"][:4].tolist(), TEXTS["text"][4:20].tolist())
