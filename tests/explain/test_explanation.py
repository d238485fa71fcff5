"""The explanation of one text: its levels agree with their functions, and its JSON fits the published schema."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.explain.ablation import ablate_units
from sparsecbm.explain.attribution import attribute, attribute_label
from sparsecbm.explain.explainer import ExplainOptions, TextSource, explain
from sparsecbm.explain.explanation import Explanation, Word
from tests.support.explained_model import FEW, WORDS_ONLY, with_means
from tests.support.tiny_models import random_masks, tiny_model, write_backbone

TEXTS = ["the food was good", "slow service but a quiet place"]
VALIDATOR = Draft202012Validator(json_schemas()["explanation"])


@pytest.fixture
def trained(model):
    with_means(model).masks = random_masks(model, masked_from=1)
    return model


def test_every_level_agrees_with_its_function(trained):
    sources = [TextSource("a-1", "test", "3", {"food": "Positive", "noise": None}), TextSource()]
    first, second = explain(trained, TEXTS, ExplainOptions(attribution=FEW), sources=sources)
    words, along = attribute(trained, TEXTS, options=FEW), attribute_label(trained, TEXTS, options=FEW)
    parts, predictions = ablate_units(trained, TEXTS, first=1), trained.predict(TEXTS)
    for i, explanation in enumerate((first, second)):
        assert [explanation.text[word.start : word.end] for word in explanation.words] == list(words[i]["food"].words)
        assert explanation.special == ("[CLS]", "[SEP]")
        assert explanation.label.words.scores == along[i].total.scores
        assert (explanation.label.state, explanation.label.probabilities) == (
            predictions[i].label.state,
            predictions[i].label.probabilities,
        )
        for name, concept in explanation.concepts.items():
            assert concept.words.scores == words[i][name].scores
            assert (concept.words.gap, concept.words.steps) == (words[i][name].gap, words[i][name].steps)
            assert concept.state == concept.explained == predictions[i].concepts[name].state
            assert concept.subnetwork.density == trained.density()[name]
            for kind, units in concept.subnetwork.largest.items():
                expected = parts[i][name].largest(kind, 3)
                assert [(u.block, u.head) for u in units] == [(e.unit.block, e.unit.head) for e in expected]
                assert {u.block for u in units} == {1}, "block 0 has no masks: it is no part of a subnetwork"
                assert [u.effect for u in units] == pytest.approx([e.effect for e in expected], abs=1e-6)
    assert (first.id, first.split, first.label.gold) == ("a-1", "test", "3")
    assert (first.concepts["food"].gold, first.concepts["noise"].gold) == ("Positive", None)
    assert (second.id, second.label.gold, second.concepts["food"].gold) == (None, None, None)


def test_contributions_lead_from_the_mean_to_the_text(trained):
    """Start and contributions add up to the end, since the label head is linear."""
    for explanation in explain(trained, TEXTS, WORDS_ONLY):
        steps = sum(concept.contribution for concept in explanation.concepts.values())
        assert explanation.label.start + steps == pytest.approx(explanation.label.end, abs=1e-9)
        for concept in explanation.concepts.values():
            assert concept.contribution == concept.contributions[explanation.label.state]
            assert sum(concept.contributions.values()) == pytest.approx(0, abs=1e-9)  # centred over the classes


def test_the_label_of_the_hard_head_by_hand(trained):
    """The hard head has twice the weights of the soft head, and sees predicted states only."""
    (explanation,) = explain(trained, TEXTS[:1], WORDS_ONLY)
    one_hot = [
        float(state == explanation.concepts[concept.name].state)
        for concept in trained.concept_set
        for state in concept.states
    ]
    logits = 2 * trained.label_head.linear.weight.detach().double() @ torch.tensor(one_hot).double()
    expected = (logits + trained.label_head.linear.bias.detach()).softmax(-1).tolist()
    assert list(explanation.label.hard.probabilities.values()) == pytest.approx(expected, abs=1e-6)
    assert explanation.label.hard.state == trained.concept_set.label.states[int(np.argmax(expected))]
    trained.hard_head = None
    (without,) = explain(trained, TEXTS[:1], WORDS_ONLY)
    assert without.label.hard is None and without.concepts["food"].hard_contribution is None


def test_the_json_fits_the_published_schema_and_can_be_loaded(trained):
    for explanation in explain(trained, [*TEXTS, "", "<b>☕</b>"], ExplainOptions(attribution=FEW)):
        published = json.loads(explanation.to_json())
        VALIDATOR.validate(published)
        assert published == explanation.to_dict()
        assert "\n" not in explanation.to_json()
        again = Explanation.from_dict(published)
        assert again.to_dict() == published
        assert again.concepts["food"].words.scores == pytest.approx(explanation.concepts["food"].words.scores, abs=1e-6)
        assert list(published["concepts"]) == ["food", "noise"]
        del published["concepts"]["food"]["state"]
        assert not VALIDATOR.is_valid(published)
        with pytest.raises(ValidationError, match="food"):
            Explanation.from_dict(published)


def test_only_the_given_concepts_are_explained(trained):
    (explanation,) = explain(trained, TEXTS[:1], ExplainOptions(["noise"], {"noise": "loud"}, attribution=FEW))
    food, noise = explanation.concepts["food"], explanation.concepts["noise"]
    assert food.words is None and food.subnetwork is None and food.explained == food.state
    assert noise.explained == "loud" and len(noise.words.scores) == 4 and noise.subnetwork.largest["head"]
    (full,) = explain(trained, TEXTS[:1], ExplainOptions(attribution=FEW))
    assert food.contribution == full.concepts["food"].contribution
    VALIDATOR.validate(json.loads(explanation.to_json()))


def test_the_origin_distinguishes_models(trained):
    """A changed weight or mask bit gives another origin. A second explanation gives the same origin."""
    origin = explain(trained, ["good"], WORDS_ONLY, folder="f", data="d")[0].origin
    assert (origin.folder, origin.data, origin.masked, origin.method) == ("f", "d", True, "integrated_gradients")
    assert origin.parameters == FEW
    assert explain(trained, ["bad"], WORDS_ONLY, folder="f", data="d")[0].origin == origin
    trained.masks = trained.masks.replaced("food", {layer: ~mask for layer, mask in trained.masks["food"].items()})
    masks = explain(trained, ["good"], WORDS_ONLY)[0].origin.model
    with torch.no_grad():
        trained.label_head.linear.bias[0] += 1e-3
    weights = explain(trained, ["good"], WORDS_ONLY)[0].origin.model
    assert len({origin.model, masks, weights}) == 3


def test_a_model_without_masks_can_be_explained(model):
    (explanation,) = explain(with_means(model), ["the food was good"], ExplainOptions(attribution=FEW))
    assert not explanation.origin.masked
    assert explanation.concepts["food"].subnetwork.density is None
    assert (
        explanation.concepts["food"].subnetwork.largest["block"]
        and explanation.concepts["food"].subnetwork.note is None
    )


def test_the_explanation_says_why_units_are_missing(tmp_path):
    model = with_means(tiny_model(write_backbone(tmp_path / "deberta", "deberta")))
    (explanation,) = explain(model, ["the food was good"], ExplainOptions(attribution=FEW))
    assert explanation.concepts["food"].subnetwork.largest == {}
    assert "heads and neurons of 'deberta' are not known" in explanation.concepts["food"].subnetwork.note


def test_the_error_for_invalid_input_names_the_choices(trained, backbone):
    for wrong, message in (
        ({"concepts": ["fod"]}, "unknown concept 'fod'. Did you mean 'food'"),
        ({"states": {"noise": "lound"}}, "unknown state of 'noise' 'lound'. Did you mean 'loud'"),
        ({"states": {"nois": "loud"}}, "unknown concept 'nois'. Did you mean 'noise'"),
        (
            {"concepts": ["food"], "states": {"noise": "loud"}},
            "state of 'noise' is given, but only food will be explained",
        ),
        ({"method": "lime"}, "unknown attribution method 'lime'"),
        ({"units": ["neuron"]}, "unknown kind of unit 'neuron'. .*Choices: block, head, ffn"),
    ):
        with pytest.raises(ConfigError, match=message):
            explain(trained, ["good"], ExplainOptions(attribution=FEW, **wrong))
    with pytest.raises(TypeError, match="wrap a single text"):
        explain(trained, "good")
    with pytest.raises(ModelError, match="no training means"):
        explain(tiny_model(backbone), ["good"], ExplainOptions(attribution=FEW))
    with pytest.raises(ModelError, match="mode `standard` has no concepts"):
        explain(tiny_model(backbone, mode="standard"), ["good"])


def test_no_texts_give_no_explanations(trained):
    assert explain(trained, []) == []


def test_an_explanation_is_frozen(trained):
    (explanation,) = explain(trained, ["good"], WORDS_ONLY)
    with pytest.raises(AttributeError):
        explanation.text = "bad"
    assert replace(explanation, id="x").id == "x"


def test_the_short_form_names_label_concepts_and_strongest_words(trained):
    """The label and each concept have one line. Words are sorted by the size of their scores."""
    (explanation,) = explain(
        trained, TEXTS[:1], ExplainOptions(["noise"], {"noise": "loud"}, attribution=FEW, units=())
    )
    words = tuple(Word(word, 0, 1) for word in ("the", "food", "was", "good"))
    label = replace(
        explanation.label,
        state="3",
        probabilities={"1": 0.1, "2": 0.2, "3": 0.7},
        words=replace(explanation.label.words, scores=(0.1, -2.0, 0.0, 1.5)),
    )
    noise = replace(
        explanation.concepts["noise"],
        state="quiet",
        probabilities={"loud": 0.25, "quiet": 0.75},
        contribution=-0.5,
        words=replace(explanation.concepts["noise"].words, scores=(0.0, 0.0, 0.5, 0.25)),
    )
    food = replace(explanation.concepts["food"], state="unknown", explained="unknown", contribution=1.25)
    food = replace(food, probabilities={"Negative": 0.0, "Positive": 0.0, "unknown": 1.0})
    short = str(replace(explanation, words=words, label=label, concepts={"food": food, "noise": noise}))
    assert short.splitlines() == [
        "rating: 3 (70.0%); words: food -2.00, good +1.50, the +0.10",
        "  food: unknown (100.0%), contributes +1.25",
        "  noise: quiet (75.0%), contributes -0.50; for loud; words: was +0.50, good +0.25, the +0.00",
    ]
