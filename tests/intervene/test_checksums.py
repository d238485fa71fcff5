"""Which model and mask a correction belongs to."""

import copy

import torch

from sparsecbm.intervene.bits import toggled
from sparsecbm.intervene.checksums import model_checksum, text_checksum, weights_checksum

LAYER = "encoder.layer.0.output.dense"


def test_a_copy_has_the_same_and_a_changed_weight_another(lively):
    first = weights_checksum(lively)
    assert weights_checksum(copy.deepcopy(lively)) == first
    weight = lively.backbone.get_submodule(LAYER).weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight[0, 0] += 1e-6
    assert weights_checksum(lively) != first
    with torch.no_grad():
        weight.copy_(kept)
    assert weights_checksum(lively) == first


def test_heads_count_and_masks_do_not(lively):
    first, whole = weights_checksum(lively), model_checksum(lively)
    with toggled(lively, "food", {LAYER: (3,)}):
        assert weights_checksum(lively) == first
        assert model_checksum(lively) != whole
    assert model_checksum(lively) == whole
    lively.add_hard_head()
    assert weights_checksum(lively) != first


def test_texts():
    assert text_checksum("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
