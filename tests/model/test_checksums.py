"""Checksums of models, masks and texts."""

import copy

import pytest
import torch

from sparsecbm.intervene.patches.bits import toggled
from sparsecbm.model.checksums import model_checksum, text_checksum, weights_checksum
from tests.support.tiny_models import random_masks

LAYER = "encoder.layer.0.output.dense"


@pytest.fixture
def masked(model):
    """Return the tiny model with masks."""
    model.masks = random_masks(model)
    return model


def test_a_copy_has_the_same_checksum_and_a_changed_weight_changes_it(masked):
    first = weights_checksum(masked)
    assert weights_checksum(copy.deepcopy(masked)) == first
    weight = masked.backbone.get_submodule(LAYER).weight
    original = weight.detach().clone()
    with torch.no_grad():
        weight[0, 0] += 1e-6
    assert weights_checksum(masked) != first
    with torch.no_grad():
        weight.copy_(original)
    assert weights_checksum(masked) == first


def test_weights_checksums_cover_heads_but_not_masks(masked):
    first, whole = weights_checksum(masked), model_checksum(masked)
    with toggled(masked, "food", {LAYER: (3,)}):
        assert weights_checksum(masked) == first
        assert model_checksum(masked) != whole
    assert model_checksum(masked) == whole
    masked.add_hard_head()
    assert weights_checksum(masked) != first


def test_the_checksum_of_texts_by_hand():
    assert text_checksum("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
