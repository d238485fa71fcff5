"""All measures on models with known reasons: right reasons beat chance, random ones do not, wrong ones lose."""

import json
from dataclasses import replace

import pytest

from sparsecbm.base.errors import ModelError
from sparsecbm.base.params.faithfulness import Faithfulness
from sparsecbm.evaluate.faithfulness.faithfulness import FaithfulnessSettings, measure_faithfulness
from sparsecbm.explain.attribution import attribute
from sparsecbm.explain.methods import AttributionOptions
from tests.support.planted_model import planted_masks, planted_model
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import with_food_edits

OPTIONS = AttributionOptions(steps=4, max_steps=4)


def settings(**changes):
    values = {
        "methods": ["leave_one_out", "random"],
        "texts": 24,
        "operators": ["delete", "mask", "replace"],
        "shares": [0.05, 0.2],
        "random_draws": 6,
        "infidelity_samples": 6,
        "sensitivity_texts": 1,
        "sensitivity_samples": 2,
        "sanity_methods": ["random"],
        "sanity_texts": 2,
        "edits": 10,
    }
    return Faithfulness(**(values | changes))


@pytest.fixture(scope="module")
def frame():
    """Return texts; every second one is an edit of food."""
    return with_food_edits(24, seed=5)


@pytest.fixture(scope="module")
def planted(backbone):
    model = planted_model(backbone)
    model.masks = planted_masks()
    model.tokenizer.mask_token = "[UNK]"
    return model


@pytest.fixture(scope="module")
def scores(planted, frame):
    return measure_faithfulness(planted, frame, FaithfulnessSettings(settings(), OPTIONS, 200))


def test_right_reasons_beat_chance_with_every_operator(scores):
    method = scores.methods["leave_one_out"]
    for operator in ("delete", "mask", "replace"):
        for measure in (method.comprehensiveness, method.sufficiency):
            mean = measure[operator]["mean"]
            assert mean.excess_interval[0] > 0 and mean.win_rate_interval[0] > 0.5 and mean.p < 0.01
        assert method.comprehensiveness[operator]["mean"].value > 2 * method.comprehensiveness[operator]["mean"].random
        assert method.sufficiency[operator]["mean"].value < method.sufficiency[operator]["mean"].random
        assert set(method.comprehensiveness[operator]) == {"food", "noise", "mean"}
    assert method.edited_words["all"].hit_at_3.value == 1


def test_random_attributions_do_not_beat_chance(scores):
    method = scores.methods["random"]
    for operator in ("delete", "mask", "replace"):
        for measure in (method.comprehensiveness, method.sufficiency):
            mean = measure[operator]["mean"]
            assert mean.excess_interval[0] < 0 < mean.excess_interval[1]
            assert mean.win_rate == pytest.approx(0.5, abs=0.15) and mean.p > 0.02
    assert abs(method.kendall_tau["mean"].value) < 0.3
    assert method.infidelity["mean"].value > scores.methods["leave_one_out"].infidelity["mean"].value


def test_wrong_reasons_lose_against_chance(planted, frame):
    """The wrong reasons are right attributions with the opposite sign, under the name of another method."""
    right = attribute(planted, frame["text"].tolist(), method="leave_one_out", options=OPTIONS)
    turned = [
        {name: replace(a, scores=tuple(-score for score in a.scores)) for name, a in by_concept.items()}
        for by_concept in right
    ]
    params = settings(methods=["attention_rollout"], operators=["delete"])
    attributions = {"attention_rollout": turned, "leave_one_out": right}
    scores = measure_faithfulness(planted, frame, FaithfulnessSettings(params, OPTIONS, 200), attributions)
    wrong = scores.methods["attention_rollout"]
    mean = wrong.comprehensiveness["delete"]["mean"]
    assert mean.win_rate_interval[1] < 0.5 and mean.excess_interval[1] < 0 and mean.p > 0.9
    assert wrong.sufficiency["delete"]["mean"].excess_interval[1] < 0
    assert wrong.kendall_tau["mean"].value == -1


def test_items_are_predictions_other_than_unknown(scores, planted, frame):
    predictions = planted.predict(frame["text"].tolist())
    known = sum(concept.state != "unknown" for prediction in predictions for concept in prediction.concepts.values())
    unknown_food = sum(prediction.concepts["food"].state == "unknown" for prediction in predictions)
    assert unknown_food > 3 and scores.items == known == 2 * 24 - unknown_food
    counted = scores.methods["random"].comprehensiveness["delete"]
    assert (counted["food"].items, counted["noise"].items) == (24 - unknown_food, 24)
    assert scores.edits == 10 and scores.texts == 24


def test_the_result_is_json_and_repeatable(scores, planted, frame):
    again = measure_faithfulness(planted, frame, FaithfulnessSettings(settings(), OPTIONS, 200))
    assert json.dumps(scores.to_dict(), sort_keys=True) == json.dumps(again.to_dict(), sort_keys=True)
    published = scores.to_dict()
    assert published["methods"]["leave_one_out"]["kendall_tau"] == {}, "it is the reference"
    assert published["methods"]["leave_one_out"]["max_sensitivity"] == {}, "it takes no gradients"
    assert set(published["sanity"]["random"]) == {"masks", "heads", "block 1", "block 0", "embeddings"}


def test_gradients_have_a_sensitivity_and_given_attributions_are_reused(planted, frame, monkeypatch):
    attributions = {
        method: attribute(planted, frame["text"].tolist(), method=method, options=OPTIONS)
        for method in ("integrated_gradients", "leave_one_out")
    }
    calls = []

    def counted(*arguments, **named):
        calls.append(named["method"])
        return attribute(*arguments, **named)

    monkeypatch.setattr("sparsecbm.evaluate.faithfulness.faithfulness.attribute", counted)
    params = settings(methods=["integrated_gradients", "random"], texts=4, sanity_methods=[])
    result = measure_faithfulness(planted, frame, FaithfulnessSettings(params, OPTIONS, 100), attributions, frame)
    assert calls == ["random"] and result.texts == 4 and result.edits == 10 and result.sanity == {}
    assert result.methods["integrated_gradients"].max_sensitivity["mean"].value > 0
    assert result.methods["random"].max_sensitivity == {}


def test_a_model_that_predicts_only_unknown_has_no_scores(planted, frame, backbone):
    silent = tiny_model(backbone)
    for head, name in zip(silent.concept_heads.heads, silent.concept_set.names, strict=True):
        head.weight.data.zero_()
        head.bias.data.zero_()
        if name == "food":
            head.bias.data[2] = 5
    params = settings(texts=3, methods=["random"], operators=["delete"])
    result = measure_faithfulness(silent, frame[["id", "text", "group"]], FaithfulnessSettings(params, OPTIONS, 100))
    assert result.items == 3 and set(result.methods["random"].comprehensiveness["delete"]) == {"noise", "mean"}
    assert result.edits == 0 and result.methods["random"].edited_words == {}
    one_word = frame[["id", "text", "group"]].assign(text="good")
    single = measure_faithfulness(silent, one_word, FaithfulnessSettings(params, OPTIONS, 100))
    assert single.items == 0 and single.methods["random"].comprehensiveness == {}


def test_a_black_box_is_an_error(backbone, frame):
    with pytest.raises(ModelError, match="no concepts"):
        measure_faithfulness(tiny_model(backbone, mode="standard"), frame, FaithfulnessSettings(settings(), OPTIONS))
