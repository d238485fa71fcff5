"""Attributions of randomised models: the randomised parts, and the remaining similarity of the order of words."""

import copy

import pytest
import torch

from sparsecbm.evaluate.faithfulness.aopc import find_items
from sparsecbm.evaluate.faithfulness.item_groups import ItemGroups
from sparsecbm.evaluate.faithfulness.sanity import randomised, sanity
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.explain.words import tokenize_words
from tests.support.linear_model import linear_model
from tests.support.planted_model import planted_masks, planted_model
from tests.support.tiny_models import random_masks

TEXTS = ["the food was bad and the place was loud", "good food but a quiet place", "we came again and a loud place"]


def test_weights_are_randomised_from_top_to_bottom_and_the_given_model_does_not_change(model):
    model.masks = random_masks(model)
    before, steps, changed = copy.deepcopy(model), [], {}
    for name, other in randomised(model, 0):
        steps.append(name)
        original = dict(model.named_parameters())
        changed[name] = {n for n, p in other.named_parameters() if not torch.equal(p, original[n])}
        for n, p in other.named_parameters():
            assert torch.equal(p.flatten().sort().values, original[n].flatten().sort().values), (
                "values are only shuffled"
            )
        if name == "masks":
            assert other.masks.density() == pytest.approx(model.masks.density())
            assert any(not torch.equal(other.masks.bits[layer], bits) for layer, bits in model.masks.bits.items())
        else:
            assert all(torch.equal(other.masks.bits[layer], bits) for layer, bits in model.masks.bits.items())
    assert steps == ["original", "masks", "heads", "block 1", "block 0", "embeddings"]
    assert not changed["original"] and not changed["masks"]
    assert {name.split(".")[0] for name in changed["heads"]} == {"concept_heads"}
    assert any("layer.1" in n for n in changed["block 1"]) and not any("layer.0" in n for n in changed["block 1"])
    assert changed["heads"] < changed["block 1"] < changed["block 0"] < changed["embeddings"]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))
    assert "masks" not in [name for name, _ in randomised(linear_model(), 0)]


def test_attributions_by_gradients_change_and_random_attributions_do_not(backbone):
    """The planted model uses two words. With random masks or weights it uses others."""
    model = planted_model(backbone)
    model.masks = planted_masks()
    items = find_items(model, tokenize_words(model.tokenizer, TEXTS, 16), model.logits(TEXTS))
    assert {item.concept for item in items} == {"food", "noise"}
    options = AttributionOptions(steps=4, max_steps=4)
    groups = ItemGroups([item.concept for item in items], [str(item.text_index) for item in items], 50, 0)
    similarities = sanity(model, TEXTS, items, groups, ["mid_path_gradients", "random"], options)
    assert list(similarities["random"]) == ["masks", "heads", "block 1", "block 0", "embeddings"]
    for step, by_concept in similarities["random"].items():
        assert {estimate.value for estimate in by_concept.values()} == {1.0}, step
    remaining = {
        step: by_concept["mean"].value for step, by_concept in similarities["mid_path_gradients"].items() if by_concept
    }
    assert abs(remaining["embeddings"]) < 0.6 and remaining["embeddings"] < 0.9
    assert remaining["block 1"] < 0.9
