"""Positions of subnetworks, counted by hand: rows of queries and neurons in the first block of a tiny BERT."""

import json

import pytest
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.explain.subnetworks import describe_subnetworks
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from tests.support.tiny_models import FAMILIES, tiny_model, write_backbone

QUERY = "encoder.layer.0.attention.self.query"
INTO, OUT = "encoder.layer.0.intermediate.dense", "encoder.layer.0.output.dense"


def kept(queries, neurons):
    """Return masks that keep rows of the query map, 8 for each head, and neurons."""
    query, inner = torch.zeros(16, 16, dtype=torch.bool), torch.zeros(32, 16, dtype=torch.bool)
    query[list(queries)] = True
    inner[list(neurons)] = True
    return {QUERY: query, INTO: inner, OUT: inner.T.clone()}


@pytest.fixture
def sparse(model):
    model.masks = MaskSet.from_masks({"food": kept(range(8), range(8)), "noise": kept(range(4, 12), range(6, 22))})
    layers = dict(model.backbone.named_modules())
    with torch.no_grad():
        for layer in (QUERY, INTO, OUT):
            layers[layer].weight.fill_(1.0)
        layers[QUERY].weight[4:8] = -3.0
        layers[INTO].weight[0] = 2.0
    return model


def test_regions_by_hand(sparse):
    """1,280 weights: food keeps 128 + 256 of them, noise 128 + 512, both 64 + 64."""
    subnetworks = describe_subnetworks(sparse)
    block = subnetworks.blocks[0]
    assert block.weights == 1280
    assert block.density == {"food": 0.3, "noise": 0.5}
    assert block.shared.core == 0.1
    assert block.shared.exclusive == {"food": 0.2, "noise": 0.4}
    pair = block.shared.pairs["food", "noise"]
    # Chance: 128 * 128 / 256 of the queries and 128 * 256 / 512 of each map of the neurons, 192 in total.
    assert (pair.jaccard, pair.chance) == pytest.approx((128 / 896, 192 / 832))
    assert subnetworks.whole == block  # no other block has masks
    assert set(subnetworks.layers) == {QUERY, INTO, OUT}
    query = subnetworks.layers[QUERY]
    assert (query.weights, query.density, query.shared.core) == (256, {"food": 0.5, "noise": 0.5}, 0.25)
    assert query.shared.pairs["food", "noise"].excess == pytest.approx(0)  # 64 of 192, the value of chance
    assert subnetworks.layers[INTO].shared.exclusive == {"food": 6 / 32, "noise": 14 / 32}


def test_modules_by_hand(sparse):
    expected = {
        "query": {"food": 0.5, "noise": 0.5},
        "ffn in": {"food": 8 / 32, "noise": 16 / 32},
        "ffn out": {"food": 8 / 32, "noise": 16 / 32},
    }
    assert describe_subnetworks(sparse).modules == expected  # key, value and output have no masks


def test_heads_by_hand(sparse):
    heads = describe_subnetworks(sparse).heads
    food, noise = heads["food"][0], heads["noise"][0]
    assert (food.density.tolist(), noise.density.tolist()) == ([1, 0], [0.5, 0.5])
    assert (food.exclusive.tolist(), noise.exclusive.tolist()) == ([0.5, 0], [0, 0.5])
    assert food.importance.tolist() == [1, 0]
    # Half of head 0 has weights -3, so squares 9 against 1; by |w| it would be 0.75.
    assert noise.importance.tolist() == pytest.approx([0.9, 0.5])


def test_neurons_by_hand(sparse):
    subnetworks = describe_subnetworks(sparse)
    food = subnetworks.neurons["food"][0]
    assert food.density.tolist() == [1.0] * 8 + [0.0] * 24
    assert food.exclusive.tolist() == [1.0] * 6 + [0.0] * 26
    half = sparse.masks["food"][OUT]
    half[:, 0] = False  # neuron 0 keeps the weights into it, of squares 4 against 1
    sparse.masks = sparse.masks.replaced("food", {OUT: half})
    subnetworks = describe_subnetworks(sparse)
    assert subnetworks.neurons["food"][0].density[0] == 0.5
    assert subnetworks.neurons["food"][0].importance[0] == pytest.approx(0.8)
    neurons = subnetworks.to_dict()["neurons"]["food"]["0"]
    assert (neurons["units"], neurons["dropped"]) == (32, 24 / 32)
    assert [entry["neuron"] for entry in neurons["highest"]] == [1, 2, 3, 4, 5]


def test_the_published_form_is_json_and_undefined_values_are_null(sparse):
    with torch.no_grad():
        dict(sparse.backbone.named_modules())[QUERY].weight[:8] = 0
    published = describe_subnetworks(sparse).to_dict()
    again = json.loads(json.dumps(published, allow_nan=False))
    assert again["heads"]["noise"]["0"]["importance"] == [None, pytest.approx(0.5)]
    assert again["blocks"]["0"]["pairs"]["food"]["noise"]["jaccard"] == pytest.approx(128 / 896)
    assert again["blocks"]["0"]["core"] == 0.1


@pytest.mark.parametrize("family", [*FAMILIES, "electra", "qwen3"])
def test_parts_add_up_to_the_whole_in_every_family(family, tmp_path):
    sizes = {} if family in FAMILIES else {"num_hidden_layers": 2}
    model = tiny_model(write_backbone(tmp_path / family, family, **sizes))
    draw = torch.Generator().manual_seed(0)
    layers = prunable_layers(model.backbone, masked_from=1)
    masks = {
        n: {k: torch.rand(m.weight.shape, generator=draw) < 0.4 for k, m in layers.items()} for n in ("food", "noise")
    }
    model.masks = MaskSet.from_masks(masks)
    subnetworks = describe_subnetworks(model)
    assert list(subnetworks.blocks) == [1]
    assert (
        sum(region.weights for region in subnetworks.layers.values()) == subnetworks.whole.weights == model.masks.size
    )
    if family.startswith("deberta"):
        assert (subnetworks.modules, subnetworks.heads, subnetworks.neurons) == ({}, {}, {})
        return
    assert list(subnetworks.modules) == ["query", "key", "value", "output", "ffn in", "ffn out"]
    for name in ("food", "noise"):
        head, neuron = subnetworks.heads[name][1], subnetworks.neurons[name][1]
        of_heads = sum(layers[k].weight.numel() for k in layers if "att" in k)
        of_neurons = subnetworks.whole.weights - of_heads
        total = head.density.mean() * of_heads + neuron.density.mean() * of_neurons
        assert total / subnetworks.whole.weights == pytest.approx(subnetworks.whole.density[name])


def test_queries_keys_and_values_in_one_map_are_distinguished(tmp_path):
    """GPT-2 holds queries, keys and values in one map of 48 columns."""
    model = tiny_model(write_backbone(tmp_path / "gpt2", "gpt2"))
    mask = torch.zeros(16, 48, dtype=torch.bool)
    mask[:, :16] = True  # the queries
    mask[:, 16:20] = True  # half of the first head of the keys
    model.masks = MaskSet.from_masks({name: {"h.0.attn.c_attn": mask} for name in ("food", "noise")})
    subnetworks = describe_subnetworks(model)
    assert subnetworks.modules["query"]["food"] == 1
    assert subnetworks.modules["key"]["food"] == 0.25
    assert subnetworks.modules["value"]["food"] == 0
    assert set(subnetworks.modules) == {"query", "key", "value"}
    assert subnetworks.heads["food"][0].density.tolist() == [1.5 / 3, 1 / 3]


def test_a_dense_model_is_an_error(model):
    with pytest.raises(ModelError, match="the model has no masks"):
        describe_subnetworks(model)
