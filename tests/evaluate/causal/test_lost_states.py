"""Activations without the exclusive weights of a concept, compared with masks built by hand."""

import numpy as np
import pytest

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ModelError
from sparsecbm.evaluate.causal.effects import predict_activations
from sparsecbm.evaluate.causal.lost_states import under_other_masks, without_own_weights
from sparsecbm.model.masked_copy import with_masks
from sparsecbm.model.masks import MaskSet
from tests.support.tiny_models import CONCEPTS, random_masks, tiny_model
from tests.support.tiny_tables import annotated


@pytest.fixture
def frame():
    return annotated(7, seed=3)


def test_a_concept_without_its_exclusive_weights_keeps_the_shared_ones(model, frame):
    masks = random_masks(model)
    model.masks = masks
    food, noise = masks["food"], masks["noise"]
    shared = {layer: food[layer] & noise[layer] for layer in food}  # with two concepts, all other weights
    expected = predict_activations(
        with_masks(model, MaskSet.from_masks({"food": shared, "noise": shared})), frame["text"].tolist()
    )
    activations = without_own_weights(model, frame, batch_size=3)
    for name, values in activations.items():
        np.testing.assert_allclose(values, expected[name], atol=1e-6)
        assert not np.allclose(values, predict_activations(model, frame["text"].tolist())[name], atol=1e-4)
    assert model.masks == masks


def test_a_concept_under_the_masks_of_others_by_hand(model, frame):
    """With two concepts, this is the prediction of a model with exchanged masks."""
    masks = random_masks(model)
    model.masks = masks
    exchanged = MaskSet.from_masks({"food": masks["noise"], "noise": masks["food"]})
    expected = predict_activations(with_masks(model, exchanged), frame["text"].tolist())
    for name, values in under_other_masks(model, frame, batch_size=3).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-6)


def test_models_without_such_masks_are_an_error(model, backbone, frame):
    with pytest.raises(ModelError, match="dense"):
        without_own_weights(model, frame)
    with pytest.raises(ModelError, match="dense"):
        under_other_masks(model, frame)
    alone = tiny_model(backbone, ConceptSet(CONCEPTS.concepts[:1], CONCEPTS.label))
    with pytest.raises(ModelError, match="one concept has no other masks"):
        under_other_masks(alone, frame)
