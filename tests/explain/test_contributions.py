"""Contributions of concepts to the label: numbers by hand and exact sums."""

import json

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.explain.contributions import compute_contributions, compute_state_effects, contributions_from_logits
from sparsecbm.model.cbm import Logits
from tests.support.tiny_models import tiny_model

TEXTS = ["the food was good", "slow service and bad food", "a loud place", ""]
MEANS = {"food": [0.5, 0.25, 0.25], "noise": [0.5, 0.5]}
# Minus the means over the classes, V_food is [[2, -1, 0], [-1, -1, 0], [-1, 2, 0]], V_noise is
# [[4, 0], [-2, 0], [-2, 0]] and b is [-1, 2, -1].
V = [[3, 0, 0, 6, 0], [0, 0, 0, 0, 0], [0, 3, 0, 0, 0]]
B = [0, 3, 0]
FIRST, SECOND, THIRD = "1", "2", "3"  # the classes


def named(model, means):
    return {c.name: dict(zip(c.states, means[c.name], strict=True)) for c in model.concept_set}


@pytest.fixture
def by_hand(model):
    model.means = {"activations": named(model, MEANS), "concept_shares": named(model, MEANS)}
    model.label_head.set(torch.tensor(V).float(), torch.tensor(B).float())
    model.add_hard_head().set(torch.tensor(V).float(), torch.tensor(B).float())
    return model


def logits_from(food, noise):
    """Return the logits of one text from probabilities."""
    logits = {"food": np.log([food]).astype("float32"), "noise": np.log([noise]).astype("float32")}
    return Logits(logits, np.zeros((1, 3), "float32"))


def approximately(expected):
    return pytest.approx(dict(zip((FIRST, SECOND, THIRD), expected, strict=True)), abs=1e-6)


def test_one_text_by_hand(by_hand):
    (contributions,) = contributions_from_logits(by_hand, logits_from([0.75, 0.125, 0.125], [0.25, 0.75]))
    assert contributions.states == {"food": "Negative", "noise": "quiet"}
    assert contributions.start == approximately([1.75, 0.25, -2.0])
    assert contributions.steps["food"] == approximately([0.625, -0.125, -0.5])
    assert contributions.steps["noise"] == approximately([-1.0, 0.5, 0.5])
    assert contributions.end == approximately([1.375, 0.625, -2.0])
    assert contributions.label == FIRST


def test_the_waterfall_starts_with_the_largest_step(by_hand):
    (contributions,) = contributions_from_logits(by_hand, logits_from([0.75, 0.125, 0.125], [0.25, 0.75]))
    fall = contributions.waterfall()
    assert (fall.label, fall.start, fall.end) == (FIRST, pytest.approx(1.75), pytest.approx(1.375))
    noise, food = fall.steps
    assert (noise.concept, noise.state) == ("noise", "quiet")
    assert (noise.value, noise.before, noise.after) == pytest.approx((-1.0, 1.75, 0.75))
    assert (food.concept, food.state) == ("food", "Negative")
    assert (food.value, food.before, food.after) == pytest.approx((0.625, 0.75, 1.375))
    third = contributions.waterfall(THIRD)
    assert sorted(step.value for step in third.steps) == pytest.approx([-0.5, 0.5])
    assert json.loads(json.dumps(fall.to_dict()))["steps"][0]["state"] == "quiet"


def test_a_text_with_mean_activations_has_contributions_0(by_hand):
    (contributions,) = contributions_from_logits(by_hand, logits_from(MEANS["food"], MEANS["noise"]))
    assert all(step == approximately([0, 0, 0]) for step in contributions.steps.values())
    assert contributions.end == pytest.approx(contributions.start)


def test_the_hard_head_sees_predicted_states_only(by_hand):
    (contributions,) = contributions_from_logits(by_hand, logits_from([0.75, 0.125, 0.125], [0.25, 0.75]), "hard")
    assert contributions.head == "hard"
    assert contributions.steps["food"] == approximately([1.25, -0.25, -1.0])  # c - mean = 0.5, -0.25, -0.25
    assert contributions.steps["noise"] == approximately([-2.0, 1.0, 1.0])  # -0.5, 0.5
    assert contributions.start == approximately([1.75, 0.25, -2.0])


def test_effects_by_hand(by_hand):
    effects = compute_state_effects(by_hand)
    assert effects.values["food"]["Negative"] == approximately([1.25, -0.25, -1.0])  # 2, -1, -1 minus 0.75, -0.75, 0
    assert effects.values["noise"]["quiet"] == approximately([-2.0, 1.0, 1.0])
    table = effects.table()
    assert table.shape == (5, 3)
    assert list(table.index[:2]) == [("food", "Negative"), ("food", "Positive")]
    assert table.loc[("food", "Positive"), THIRD] == pytest.approx(2.0)


def randomise(model):
    draw = torch.Generator().manual_seed(3)
    shares = {c.name: torch.rand(len(c), generator=draw).softmax(-1).tolist() for c in model.concept_set}
    model.means = {"activations": named(model, shares), "concept_shares": named(model, shares)}
    model.add_hard_head().set(torch.randn(3, 5, generator=draw), torch.randn(3, generator=draw))
    torch.nn.init.normal_(model.label_head.linear.bias, generator=draw)
    return model


@pytest.mark.parametrize("activation", ["soft", "logits", "hard"])
def test_contributions_add_up_exactly_to_the_label_logits(backbone, activation):
    model = randomise(tiny_model(backbone, activation=activation))
    predicted = model.logits(TEXTS)
    label = predicted.label - predicted.label.mean(1, keepdims=True)
    every = compute_contributions(model, TEXTS)
    for contributions, logits in zip(every, label, strict=True):
        for index, name in enumerate((FIRST, SECOND, THIRD)):
            steps = sum(step[name] for step in contributions.steps.values())
            assert contributions.start[name] + steps == pytest.approx(contributions.end[name], abs=1e-12)
            assert contributions.end[name] == pytest.approx(logits[index], abs=1e-5)  # the model computes in float32
    assert len({tuple(contributions.end.values()) for contributions in every}) > 1  # so the sums do not agree by chance


def test_contributions_of_the_hard_head_add_up_to_its_logit(model):
    randomise(model)
    predicted = model.logits(TEXTS)
    for i, contributions in enumerate(contributions_from_logits(model, predicted, "hard")):
        hard = {n: torch.eye(values.shape[1])[[values[i].argmax()]] for n, values in predicted.concepts.items()}
        (logits,) = model.hard_head(hard).tolist()
        for index, name in enumerate((FIRST, SECOND, THIRD)):
            steps = sum(step[name] for step in contributions.steps.values())
            assert contributions.start[name] + steps == pytest.approx(logits[index] - np.mean(logits), abs=1e-5)


def test_a_contribution_is_the_mean_of_the_effects_by_activation(model):
    randomise(model)
    effects = compute_state_effects(model).values
    for prediction, contributions in zip(model.predict(TEXTS), compute_contributions(model, TEXTS), strict=True):
        for name, predicted_concept in prediction.concepts.items():
            for label in (FIRST, SECOND, THIRD):
                expected = sum(p * effects[name][state][label] for state, p in predicted_concept.probabilities.items())
                assert contributions.steps[name][label] == pytest.approx(expected, abs=1e-6)


def test_shifts_that_softmax_ignores_change_nothing(model):
    """A shift of all classes changes nothing. Moving a part of the bias into V_k changes nothing either."""
    randomise(model)
    before, steps = (
        compute_state_effects(model).values,
        [contributions.steps for contributions in compute_contributions(model, TEXTS)],
    )
    with torch.no_grad():
        model.label_head.linear.weight += torch.randn(1, 5)  # the same for all classes
        model.label_head.linear.bias += 7
        hidden = torch.randn(3)
        model.label_head.linear.weight[:, :3] += hidden[:, None]  # the activations of food add up to 1
        model.label_head.linear.bias -= hidden
    for name, states in compute_state_effects(model).values.items():
        for state, by in states.items():
            assert by == pytest.approx(before[name][state], abs=1e-5)
    for contributions, expected in zip(compute_contributions(model, TEXTS), steps, strict=True):
        for name, step in contributions.steps.items():
            assert step == pytest.approx(expected[name], abs=1e-5)
    with torch.no_grad():
        model.label_head.linear.weight[0, 0] += 1  # this shift is not the same for all classes
    assert compute_state_effects(model).values["food"]["Negative"] != pytest.approx(
        before["food"]["Negative"], abs=1e-2
    )


def test_errors_name_invalid_arguments(backbone, model):
    with pytest.raises(ModelError, match="no training means \\(`activations`\\)"):
        compute_contributions(model, TEXTS)
    with pytest.raises(ModelError, match="no `hard_head`"):
        compute_state_effects(model, "hard")
    with pytest.raises(ConfigError, match=r"unknown label head 'bare'.*soft, hard"):
        compute_state_effects(model, "bare")
    with pytest.raises(ModelError, match="mode `standard` has no concepts"):
        compute_contributions(tiny_model(backbone, mode="standard"), TEXTS)
    randomise(model)
    with pytest.raises(TypeError, match="wrap a single text"):
        compute_contributions(model, TEXTS[0])
    with pytest.raises(ConfigError, match=r"unknown class '9'. Choices: 1, 2, 3"):
        compute_contributions(model, TEXTS)[0].waterfall("9")
    assert compute_contributions(model, []) == []
