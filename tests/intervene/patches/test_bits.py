"""Flips of single bits in place."""

import hashlib
import json

import pytest
import torch

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.bits import bits_at, mask_checksum, toggle, toggled
from sparsecbm.model.masks import MaskSet
from tests.support.patches import copied_masks
from tests.support.tiny_models import tiny_model

LAYER, OTHER = "encoder.layer.0.output.dense", "encoder.layer.1.attention.self.query"
FLIPS = {LAYER: (0, 7, 8, 9, 511), OTHER: (255,)}


def test_exactly_the_given_bits_of_one_concept_are_flipped(lively):
    before = copied_masks(lively.masks)
    toggle(lively, "noise", FLIPS)
    for layer in before.shapes:
        assert torch.equal(lively.masks["food"][layer], before["food"][layer])
        differ = (lively.masks["noise"][layer] != before["noise"][layer]).view(-1).nonzero().view(-1)
        assert differ.tolist() == list(FLIPS.get(layer, ()))
    toggle(lively, "noise", FLIPS)
    assert lively.masks == before


def test_flipped_bits_come_back_after_an_error(lively):
    before = copied_masks(lively.masks)
    with pytest.raises(KeyError), toggled(lively, "food", FLIPS):
        assert lively.masks != before
        raise KeyError
    assert lively.masks == before


def test_bits_at_positions_equal_those_of_the_mask(lively):
    expected = {
        layer: lively.masks["food"][layer].view(-1)[list(positions)].tolist() for layer, positions in FLIPS.items()
    }
    assert {layer: bits.tolist() for layer, bits in bits_at(lively, "food", FLIPS).items()} == expected


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ({LAYER: (0, 512)}, "position 512 is out of range: layer encoder.layer.0.output.dense has 512 weights"),
        ({LAYER: (-1,)}, "position -1 is out of range"),
        ({LAYER: (4, 4)}, "occurs twice"),
        ({"encoder.layer.9": (0,)}, "unknown masked layer 'encoder.layer.9'"),
    ],
)
def test_positions_that_do_not_exist_flip_nothing(lively, positions, message):
    before = copied_masks(lively.masks)
    with pytest.raises(InterventionError, match=message):
        toggle(lively, "food", {OTHER: (1,), **positions})
    assert lively.masks == before


def test_unknown_concepts_and_dense_models_are_errors(lively, backbone):
    with pytest.raises(InterventionError, match=r"unknown concept 'foods'. Did you mean 'food'\? Choices: food, noise"):
        toggle(lively, "foods", FLIPS)
    with pytest.raises(InterventionError, match="the model is dense"):
        toggle(tiny_model(backbone), "food", FLIPS)


def test_a_checksum_depends_on_one_concept_only(lively):
    first = {name: mask_checksum(lively.masks[name]) for name in ("food", "noise")}
    toggle(lively, "noise", {OTHER: (255,)})
    assert mask_checksum(lively.masks["food"]) == first["food"]
    assert mask_checksum(lively.masks["noise"]) != first["noise"]


def test_a_checksum_by_hand():
    masks = MaskSet.from_masks({"a": {"x": torch.tensor([[True, False, True]])}})
    content = json.dumps({"concept": "a", "shapes": {"x": [1, 3]}}, sort_keys=True)
    assert mask_checksum(masks["a"]) == hashlib.sha256(content.encode() + bytes([0b10100000])).hexdigest()
