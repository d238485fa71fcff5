"""Controls for patches: the same number of random flips, and wrong states."""

import numpy as np

from sparsecbm.intervene.experiments.controls import choose_wrong_state, draw_random_flips
from sparsecbm.intervene.patches.bits import bits_at
from sparsecbm.intervene.patches.patch import MaskPatch

LAYER, OTHER = "encoder.layer.0.output.dense", "encoder.layer.1.output.dense"


def test_random_flips_have_the_counts_layers_and_kinds_of_the_patch(lively):
    patch = MaskPatch("food", "Positive", (), {LAYER: (1, 2, 3)}, {LAYER: (4,), OTHER: (5, 6)}, "", "", 1)
    flips = draw_random_flips(lively, patch, np.random.default_rng(0))
    assert {layer: len(bits) for layer, bits in flips.items()} == {LAYER: 4, OTHER: 2}
    assert all(len(set(bits)) == len(bits) for bits in flips.values())
    bits = bits_at(lively, "food", flips)
    assert (int(bits[LAYER].sum()), int(bits[OTHER].sum())) == (3, 0)
    assert flips != draw_random_flips(lively, patch, np.random.default_rng(1))


def test_a_wrong_state_is_neither_annotated_nor_predicted():
    assert choose_wrong_state(3, gold=0, predicted=2) == 1
    assert choose_wrong_state(2, gold=0, predicted=1) is None
