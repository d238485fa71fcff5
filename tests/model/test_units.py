"""Heads and neurons of every family, compared with rows and columns by hand."""

import pytest
import torch

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.units import LayerPart, Units, find_units, select_pruned_units
from tests.support.tiny_models import tiny_model, write_backbone

SUPPORTED = ("bert", "roberta", "distilbert", "gpt2", "opt", "llama")


def loaded(tmp_path, family, **sizes):
    return tiny_model(write_backbone(tmp_path / family, family, **sizes)).backbone


def weights_of(backbone):
    return {layer: module.weight.detach() for layer, module in prunable_layers(backbone).items()}


@pytest.mark.parametrize("family", SUPPORTED)
def test_every_weight_belongs_to_exactly_one_unit(family, tmp_path):
    backbone = loaded(tmp_path, family)
    owners = {layer: torch.zeros_like(weight) for layer, weight in weights_of(backbone).items()}
    for group in find_units(backbone):
        for unit in range(group.count):
            alone = torch.arange(group.count) == unit
            for layer, mask in group.masks(alone, {name: w.shape for name, w in owners.items()}).items():
                owners[layer] += mask
    assert all(torch.all(owner == 1) for owner in owners.values())


def test_the_units_of_bert_by_hand(tmp_path):
    head, neuron, *others = find_units(loaded(tmp_path, "bert"))
    name = "encoder.layer.0."
    into = [LayerPart(f"{name}attention.self.{part}", 0, 0, 8) for part in ("query", "key", "value")]
    assert head == Units("head", 0, 2, (*into, LayerPart(f"{name}attention.output.dense", 1, 0, 8)))
    assert neuron == Units(
        "neuron", 0, 32, (LayerPart(f"{name}intermediate.dense", 0, 0, 1), LayerPart(f"{name}output.dense", 1, 0, 1))
    )
    assert [(group.kind, group.block) for group in others] == [("head", 1), ("neuron", 1)]


def test_gpt2_has_queries_keys_and_values_in_one_transposed_map(tmp_path):
    head, neuron, *_ = find_units(loaded(tmp_path, "gpt2"))
    assert [(part.axis, part.start, part.width) for part in head.parts] == [
        (1, 0, 8), (1, 16, 8), (1, 32, 8), (0, 0, 8),
    ]  # fmt: skip
    assert head.layers == ("h.0.attn.c_attn", "h.0.attn.c_proj")
    assert neuron.parts == (LayerPart("h.0.mlp.c_fc", 1, 0, 1), LayerPart("h.0.mlp.c_proj", 0, 0, 1))
    second = head.masks(torch.tensor([False, True]), {"h.0.attn.c_attn": (16, 48), "h.0.attn.c_proj": (16, 16)})
    columns = second["h.0.attn.c_attn"].all(0).nonzero().squeeze(1)
    assert columns.tolist() == [*range(8, 16), *range(24, 32), *range(40, 48)]
    assert second["h.0.attn.c_proj"].all(1).nonzero().squeeze(1).tolist() == list(range(8, 16))


def test_a_unit_of_llama_is_a_key_value_head_with_its_query_heads(tmp_path):
    head, neuron, *_ = find_units(loaded(tmp_path, "llama", num_attention_heads=8, num_key_value_heads=2))
    assert head.count == 2
    assert {part.layer.rpartition(".")[2]: part.width for part in head.parts} == {
        "q_proj": 8, "k_proj": 2, "v_proj": 2, "o_proj": 8,
    }  # fmt: skip
    assert {part.layer.rpartition(".")[2]: part.axis for part in neuron.parts} == {
        "gate_proj": 0, "up_proj": 0, "down_proj": 1,
    }  # fmt: skip


def test_sums_and_sizes_by_hand(tmp_path):
    """A head of the tiny BERT has 8 rows or columns of 16 in four maps. A neuron has 16 weights in each of two maps."""
    backbone = loaded(tmp_path, "bert")
    values = {layer: torch.zeros_like(weight) for layer, weight in weights_of(backbone).items()}
    head, neuron, *_ = find_units(backbone)
    assert head.weights(values) == 4 * 8 * 16 and neuron.weights(values) == 2 * 16
    values["encoder.layer.0.attention.self.key"][8:] = 2.0  # the second head: 8 rows of 16
    values["encoder.layer.0.attention.output.dense"][3, :8] = 1.0  # the first: 8 columns of one row
    values["encoder.layer.0.output.dense"][:, 5] = -0.5
    assert head.sums(values).tolist() == [8.0, 256.0]
    assert neuron.sums(values).tolist() == [-8.0 if unit == 5 else 0.0 for unit in range(32)]


def test_units_and_masks_convert_into_each_other(model):
    units = find_units(model.backbone)
    shapes = {layer: tuple(weight.shape) for layer, weight in weights_of(model.backbone).items()}
    kept = {group: torch.arange(group.count) % 2 == 1 for group in units}
    masks = {layer: mask for group in units for layer, mask in group.masks(kept[group], shapes).items()}
    assert all(torch.equal(group.kept(masks), kept[group]) for group in units)
    model.masks = MaskSet.from_masks(dict.fromkeys(model.concept_set.names, masks))
    assert find_units(model.backbone) == units


@pytest.mark.parametrize(
    ("layer", "at"), [("attention.self.key", (0, 3)), ("attention.output.dense", (3, 0)), ("output.dense", (3, 31))]
)
def test_the_error_names_a_mask_that_cuts_a_unit(model, layer, at):
    weights = weights_of(model.backbone)
    masks = {name: torch.ones_like(weight).bool() for name, weight in weights.items()}
    head, neuron, *_ = find_units(model.backbone)
    assert head.kept(masks).all() and neuron.kept(masks).all()
    masks[f"encoder.layer.0.{layer}"][at] = False
    with pytest.raises(ModelError, match=f"layer encoder.layer.0.{layer} does not keep or drop whole"):
        (neuron if layer == "output.dense" else head).kept(masks)


def test_rows_without_their_columns_are_not_a_unit(model):
    masks = {name: torch.ones_like(weight).bool() for name, weight in weights_of(model.backbone).items()}
    head, *_ = find_units(model.backbone)
    for part in ("query", "key", "value"):
        masks[f"encoder.layer.0.attention.self.{part}"][:8] = False
    with pytest.raises(ModelError, match=r"attention\.output\.dense does not keep or drop whole heads of block 0"):
        head.kept(masks)


@pytest.mark.parametrize("family", ["deberta", "deberta-v2"])
def test_the_error_for_another_family_lists_the_supported_ones(family, tmp_path):
    with pytest.raises(ModelError, match=f"'{family}' are not known.*bert, roberta, .*distilbert, .*opt, gpt2, llama"):
        find_units(loaded(tmp_path, family))


def test_units_need_all_of_their_layers(model):
    units = find_units(model.backbone)
    attention = prunable_layers(model.backbone, ["*.attention.*"], masked_from=1)
    assert [(group.kind, group.block) for group in select_pruned_units(units, attention)] == [("head", 1)]
    with pytest.raises(ConfigError, match=r"heads of block 0 .* encoder\.layer\.0\.attention\.self\.key is not among"):
        select_pruned_units(units, prunable_layers(model.backbone, ["*.query"]))
    with pytest.raises(ConfigError, match=r"^prune\.layers: pooler\.dense belongs to no head or neuron"):
        select_pruned_units(units, [*attention, "pooler.dense"])
