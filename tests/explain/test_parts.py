"""The parts of subnetworks, on a model with known neurons."""

import copy

import numpy as np
import pytest

from sparsecbm.base.errors import ModelError
from sparsecbm.explain.ablation import ablate_units
from sparsecbm.explain.parts import PartTexts, describe_parts
from sparsecbm.explain.subnetworks import describe_subnetworks
from tests.support.planted_model import OUTER, planted_masks, planted_model
from tests.support.tiny_models import random_masks, tiny_model, write_backbone
from tests.support.tiny_tables import annotated

READING = annotated(40, seed=1)["text"].tolist()


@pytest.fixture(scope="module")
def described(backbone):
    model = planted_model(backbone)
    model.masks = planted_masks()
    frame = annotated(30, seed=2)
    texts = PartTexts(frame["text"].tolist(), frame["group"].tolist(), READING)
    return model, frame, describe_parts(model, describe_subnetworks(model), texts, neurons=2)


def test_the_strongest_neurons_are_those_that_the_model_was_given(described):
    """Neurons 0 and 1 of block 1 copy "bad" and "good" for food, 2 and 3 "loud" and "quiet" for noise."""
    _, _, parts = described
    found = {name: {(p.block, p.index): p.words[0] for p in parts[name].neurons} for name in parts}
    assert found["food"] == {(1, 0): "bad", (1, 1): "good"}
    assert found["noise"][1, 3] == "quiet"  # a text is loud unless neuron 3 says otherwise
    for part in parts["food"].neurons:
        assert part.exclusive == 1  # all its weights are under masks, and only food keeps them


def test_an_effect_is_the_logit_with_a_neuron_minus_without_it(described):
    """The same by hand: the weights of the neuron are set to zero in a copy."""
    model, frame, parts = described
    texts = frame["text"].tolist()
    part = next(p for p in parts["food"].neurons if p.index == 1)
    whole = model.logits(texts).concepts["food"]
    other = planted_model_without(model, part)
    without = other.logits(texts).concepts["food"]
    state = whole.argmax(-1)

    def centred(logits):
        return (logits - logits.mean(-1, keepdims=True))[np.arange(len(state)), state]

    effects = centred(whole) - centred(without)
    assert part.effect == pytest.approx(effects.mean(), abs=1e-5) and part.effect > 0
    low, high = part.interval
    assert low < part.effect < high


def planted_model_without(model, part):
    """Return a copy of the model whose neuron has no output."""
    other = copy.deepcopy(model)
    other.backbone.get_submodule(OUTER).weight.data[:, part.index] = 0
    return other


def test_heads_without_masks_are_no_part_of_a_subnetwork(described):
    """The planted masks cover the neurons of block 1 alone."""
    assert all(parts.heads == () for parts in described[2].values())


def test_heads_of_masked_layers_have_the_effects_of_their_ablation(backbone):
    model = tiny_model(backbone)
    model.masks = random_masks(model, seed=1)
    frame = annotated(12, seed=2)
    texts = PartTexts(frame["text"].tolist(), frame["group"].tolist(), READING)
    parts = describe_parts(model, describe_subnetworks(model), texts, neurons=1)["food"]
    ablations = [by_concept["food"] for by_concept in ablate_units(model, texts.texts, kinds=("head",))]
    by_unit = {(u.unit.block, u.unit.head): np.mean([a.effects[i].effect for a in ablations])
               for i, u in enumerate(ablations[0].effects)}  # fmt: skip
    assert {(head.block, head.index): pytest.approx(head.effect) for head in parts.heads} == by_unit
    assert [head.effect for head in parts.heads] == sorted((head.effect for head in parts.heads), reverse=True)


def test_a_family_without_known_units_is_refused(tmp_path):
    model = tiny_model(write_backbone(tmp_path / "deberta", "deberta"))
    model.masks = random_masks(model)
    texts = PartTexts(READING[:2], ["a", "b"], READING)
    with pytest.raises(ModelError, match="heads and neurons of 'deberta' are not known, so subnetworks cannot"):
        describe_parts(model, describe_subnetworks(model), texts)


def test_a_word_of_few_texts_is_not_named(backbone):
    """ "good" stands in two texts only, so the neuron that copies it names other words."""
    model = planted_model(backbone)
    model.masks = planted_masks()
    frame = annotated(30, seed=2)
    reading = [text for text in READING if "good" not in text] + [text for text in READING if "good" in text][:2]
    texts = PartTexts(frame["text"].tolist(), frame["group"].tolist(), reading)
    parts = describe_parts(model, describe_subnetworks(model), texts, neurons=2)
    assert all("good" not in part.words for part in parts["food"].neurons)
