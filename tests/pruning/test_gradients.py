"""Gradients of one concept through its own mask equal those of autograd on a dense copy."""

import copy

import pytest
import torch

from sparsecbm.base.errors import ConfigError, PruningError
from sparsecbm.pruning.gradients import group_layers, stream_gradients
from sparsecbm.train.examples import build_batch, build_examples
from sparsecbm.train.loss import cross_entropy
from tests.support.tiny_models import random_masks
from tests.support.tiny_tables import annotated


@pytest.fixture
def batches(model):
    data = build_examples(annotated(12, seed=0), model)
    return [build_batch(data, range(i, i + 4), model.tokenizer.pad_token_id, model.device) for i in (0, 4, 8)]


def test_gradients_equal_those_of_a_dense_copy_with_masked_weights(model, batches):
    dense = copy.deepcopy(model)
    model.masks = random_masks(model)
    masks = model.masks
    gradients = dict(stream_gradients(model, "noise", batches, memory_mb=10))
    layers = dict(dense.backbone.named_modules())
    for layer, kept in masks["noise"].items():
        layers[layer].weight.data *= kept
    for row, b in enumerate(batches):
        dense.zero_grad()
        cross_entropy(dense(b.ids, b.mask).concept_logits["noise"], b.concepts["noise"]).backward()
        for layer, kept in masks["noise"].items():
            expected = (layers[layer].weight.grad * kept).reshape(-1)
            torch.testing.assert_close(gradients[layer][row], expected, atol=1e-7, rtol=1e-4)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_another_mask_gives_other_gradients(model, batches):
    """With the mask of another concept, the weights pruned there would appear useless."""
    model.masks = random_masks(model)
    gradients = dict(stream_gradients(model, "food", batches, memory_mb=10))
    model.masks = model.masks.replaced("food", dict(model.masks["noise"].items()))
    other = dict(stream_gradients(model, "food", batches, memory_mb=10))
    layer = next(iter(gradients))
    assert not torch.allclose(gradients[layer], other[layer])


def test_a_small_budget_gives_the_same_gradients(model, batches):
    model.masks = random_masks(model)
    unlimited = dict(stream_gradients(model, "food", batches, memory_mb=10))
    streamed = dict(stream_gradients(model, "food", batches, memory_mb=0.01))
    assert list(streamed) == list(unlimited)
    for layer in unlimited:
        assert torch.equal(streamed[layer], unlimited[layer])


def test_groups_by_hand():
    shapes = {"a": (2, 128), "b": (2, 128), "c": (4, 128)}  # 1, 1 and 2 kB per gradient
    kilobytes = {"a": 4, "b": 4, "c": 8}  # four gradients each
    assert sum(kilobytes.values()) == 16
    assert group_layers(shapes, 4, 16 / 1024) == [["a", "b", "c"]]
    assert group_layers(shapes, 4, 8 / 1024) == [["a", "b"], ["c"]]


def test_the_error_for_a_budget_below_one_layer_names_the_least_budget():
    with pytest.raises(ConfigError, match=r"cannot hold 512 gradients of layer b; the least that can is 2 MB"):
        group_layers({"a": (8, 8), "b": (8, 128)}, 512, 0.5)


def test_the_error_for_useless_gradients_names_layer_and_concept(model, batches):
    model.masks = random_masks(model)
    query = "encoder.layer.1.attention.self.query"
    model.masks = model.masks.replaced("food", {query: torch.zeros(16, 16, dtype=torch.bool)})
    with pytest.raises(PruningError, match=f"'food', layer {query}: all gradients are zero"):
        list(stream_gradients(model, "food", batches, memory_mb=10))
    model.concept_heads.heads[0].weight.data.fill_(float("nan"))
    with pytest.raises(PruningError, match=r"'food', layer encoder\.layer\.0\S+: gradients hold NaN"):
        list(stream_gradients(model, "food", batches, memory_mb=10))
