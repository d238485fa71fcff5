"""Controls of patches: as many flips, knowing nothing."""

import numpy as np

from sparsecbm.intervene.experiments.controls import random_flips, wrong_state
from sparsecbm.intervene.patches.bits import bits_at
from sparsecbm.intervene.patches.patch import MaskPatch

LAYER, OTHER = "encoder.layer.0.output.dense", "encoder.layer.1.output.dense"


def test_random_flips_match_the_patch_in_number_layer_and_kind(lively):
    patch = MaskPatch("food", "Positive", (), {LAYER: (1, 2, 3)}, {LAYER: (4,), OTHER: (5, 6)}, "", "", 1)
    found = random_flips(lively, patch, np.random.default_rng(0))
    assert {layer: len(bits) for layer, bits in found.items()} == {LAYER: 4, OTHER: 2}
    assert all(len(set(bits)) == len(bits) for bits in found.values())
    bits = bits_at(lively, "food", found)
    assert (int(bits[LAYER].sum()), int(bits[OTHER].sum())) == (3, 0)
    assert found != random_flips(lively, patch, np.random.default_rng(1))


def test_a_wrong_state_is_neither_the_gold_nor_the_read_one():
    assert wrong_state(3, gold=0, read=2) == 1
    assert wrong_state(2, gold=0, read=1) is None
