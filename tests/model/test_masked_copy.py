"""A copy of a model with other masks and shared weights."""

import numpy as np

from sparsecbm.model.masked_copy import with_masks
from tests.support.tiny_models import random_masks

TEXTS = ["the food was good", "slow", "a loud place but we came again"]


def test_a_copy_with_other_masks_shares_weights_and_does_not_change_the_model(model):
    dense = model.logits(TEXTS).concepts["food"]
    first, second = random_masks(model, seed=1), random_masks(model, seed=2)
    masked = with_masks(model, first)
    assert model.masks is None and masked.masks == first
    np.testing.assert_array_equal(model.logits(TEXTS).concepts["food"], dense)
    again = with_masks(masked, second)
    assert masked.masks == first and again.masks == second
    weights, shared = dict(model.named_parameters()), dict(again.named_parameters())
    assert weights.keys() == shared.keys() and all(shared[name] is weights[name] for name in weights)
    model.masks = second
    np.testing.assert_array_equal(again.logits(TEXTS).concepts["food"], model.logits(TEXTS).concepts["food"])
    assert not np.allclose(masked.logits(TEXTS).concepts["food"], dense, atol=1e-3)


def test_the_record_of_patches_stays_with_the_original_masks(model):
    model.applied_patches = ("a patch",)
    other = with_masks(model, random_masks(model))
    assert (model.applied_patches, other.applied_patches) == (("a patch",), ())
