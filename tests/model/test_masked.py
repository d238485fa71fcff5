"""The masked forward pass, compared with copies of the dense model whose weights are multiplied by masks."""

import weakref

import pytest
import torch

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.model.masked import MaskedLinear, grouped_linear, prunable_layers, weight_leaves
from sparsecbm.model.masks import MaskSet
from tests.support.tiny_models import FAMILIES, batch_of, random_masks, run_copies, tiny_model, write_backbone


@pytest.fixture(params=FAMILIES)
def family_model(request, tmp_path):
    return tiny_model(write_backbone(tmp_path / request.param, request.param))


@pytest.mark.parametrize("masked_from", [0, 1])
@torch.no_grad()
def test_one_call_equals_copies_of_the_model_in_every_family(family_model, masked_from):
    ids, mask = batch_of(family_model)
    masks = random_masks(family_model, masked_from=masked_from)
    expected = run_copies(family_model, masks, ids, mask)
    dense = family_model(ids, mask).concept_logits
    family_model.masks = masks
    logits = family_model(ids, mask).concept_logits
    for name in masks.concepts:
        torch.testing.assert_close(logits[name], expected[name], atol=1e-5, rtol=1e-5)
        assert not torch.allclose(logits[name], dense[name], atol=1e-4)  # the masks have an effect


@torch.no_grad()
def test_every_concept_uses_its_own_mask(model):
    ids, mask = batch_of(model)
    model.masks = random_masks(model)
    before = model(ids, mask)
    changed = {layer: ~layer_mask for layer, layer_mask in model.masks["noise"].items()}
    model.masks = model.masks.replaced("noise", changed)
    after = model(ids, mask)
    assert torch.equal(after.concept_logits["food"], before.concept_logits["food"])
    assert not torch.allclose(after.concept_logits["noise"], before.concept_logits["noise"])
    assert not torch.allclose(after.label_logits, before.label_logits)


@torch.no_grad()
def test_the_label_depends_on_the_activations_only(model):
    """If the input of the label head is fixed, no change of text or mask changes the label."""
    model.masks = random_masks(model)
    activations = model(*batch_of(model)).activations
    model.concept_heads.register_forward_hook(
        lambda module, inputs, logits: {name: activations[name].log() for name in logits}
    )
    first = model(*batch_of(model)).label_logits
    model.masks = random_masks(model, seed=5)
    other_texts = ["bad food", "quiet", "pretty place"]
    torch.testing.assert_close(model(*batch_of(model, other_texts)).label_logits, first)


@torch.no_grad()
def test_rows_of_one_batch_can_belong_to_different_concepts(model):
    ids, mask = batch_of(model)
    model.masks = random_masks(model)
    pooled = model.represent(ids, mask)
    parts = model.represent(ids, mask, {"noise": torch.tensor([2, 0]), "food": torch.tensor([1])})
    torch.testing.assert_close(parts["noise"], pooled["noise"][[2, 0]])
    torch.testing.assert_close(parts["food"], pooled["food"][[1]])


@torch.no_grad()
def test_blocks_below_the_first_masked_one_run_once(model):
    model.masks = random_masks(model, masked_from=1)
    calls = []
    layers = model.backbone.encoder.layer
    for block in layers:
        block.register_forward_hook(lambda module, args, output: calls.append(len(output)))
    model(*batch_of(model))
    assert calls == [3, 6]


@pytest.mark.parametrize("family", ["bert", "opt", "llama", "gpt2"])
def test_outputs_are_the_same_with_and_without_gradients(family, tmp_path):
    model = tiny_model(write_backbone(tmp_path / family, family))
    model.masks = random_masks(model)
    with torch.no_grad():
        without = model(*batch_of(model)).concept_logits
    for name, values in model(*batch_of(model)).concept_logits.items():
        torch.testing.assert_close(values.detach(), without[name])


def test_grouped_products_equal_products_one_by_one():
    draw = torch.Generator().manual_seed(0)
    inputs, weights = torch.randn(6, 5, 4, generator=draw), torch.randn(2, 3, 4, generator=draw)
    bias = torch.randn(3, generator=draw)
    one_by_one = torch.cat([inputs[:3] @ weights[0].T + bias, inputs[3:] @ weights[1].T + bias])
    torch.testing.assert_close(grouped_linear(inputs, weights, bias), one_by_one)


def test_a_weight_outside_every_mask_gets_no_gradient(model):
    model.masks = random_masks(model, density=0.3)
    sum(v.square().sum() for v in model(*batch_of(model)).concept_logits.values()).backward()
    union = model.masks.union()
    for layer, module in prunable_layers(model.backbone).items():
        assert torch.all(module.weight.grad[~union[layer]] == 0)
        assert torch.any(module.weight.grad[union[layer]] != 0)


def test_gradients_of_pruned_weights_match_finite_differences(model):
    """dL/d(w m) of a pruned weight is the change of L when the masked weight moves away from zero."""
    model.double().masks = random_masks(model)
    ids, mask = batch_of(model)
    rows = {"food": torch.arange(len(ids))}

    def loss():
        return model.concept_heads(model.represent(ids, mask, rows))["food"].logsumexp(-1).sum()

    with weight_leaves() as leaves:
        loss().backward()
    layer = next(name for name, _ in leaves if "attention" in name)
    module = dict(model.backbone.named_modules())[layer]
    pruned = (~model.masks["food"][layer]).nonzero()
    row, column = max(pruned.tolist(), key=lambda at: leaves[layer, 0].grad[tuple(at)].abs().item())
    assert all(m.weight.grad is None for m in prunable_layers(model.backbone).values())
    kept = model.masks["food"][layer]
    kept[row, column] = True
    model.masks = model.masks.replaced("food", {layer: kept})
    values = []
    for step in (1e-4, -1e-4):
        with torch.no_grad():
            module.weight[row, column] = step
            values.append(loss().item())
    assert leaves[layer, 0].grad[row, column].item() == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-4)


def test_prunable_layers_have_the_expected_names(model, tmp_path):
    names = list(prunable_layers(model.backbone))
    assert len(names) == 12 and "encoder.layer.0.attention.self.query" in names
    assert all(".layer.1." in name for name in prunable_layers(model.backbone, masked_from=1))
    assert len(prunable_layers(model.backbone, ["*.attention.*"])) == 8
    decoder = tiny_model(write_backbone(tmp_path / "gpt2", "gpt2"))
    assert "h.0.attn.c_attn" in prunable_layers(decoder.backbone)  # Conv1D is pruned, too
    with pytest.raises(ConfigError, match=r"unknown layer pattern '\*.atention.\*'"):
        prunable_layers(model.backbone, ["*", "*.atention.*"])
    with pytest.raises(ConfigError, match="2 is not among the blocks 0 to 1"):
        prunable_layers(model.backbone, masked_from=2)


def test_masks_of_another_model_are_an_error(model):
    masks = random_masks(model)
    other_shape = {name: {layer: kept[:, :-1] for layer, kept in masks[name].items()} for name in masks.concepts}
    with pytest.raises(ModelError, match=r"another model: .* has weights"):
        model.masks = MaskSet.from_masks(other_shape)
    with pytest.raises(ModelError, match="another model: it has no layer nowhere"):
        model.masks = MaskSet.from_masks({n: {"nowhere": torch.ones(2, 2).bool()} for n in masks.concepts})
    with pytest.raises(ModelError, match="they are for \\['a'\\]"):
        model.masks = MaskSet.from_masks({"a": {"x": torch.ones(2, 2).bool()}})
    assert model.masks is None


@pytest.mark.parametrize("more", [True, False], ids=["fewer layers", "more layers"])
def test_masks_over_other_layers_than_those_in_force_are_an_error_and_change_nothing(model, more):
    """Otherwise the layers that are left out would keep the masks of before."""
    all_masks = random_masks(model)
    first, *rest = all_masks.shapes
    fewer = MaskSet.from_masks({mask.name: {layer: mask[layer] for layer in rest} for mask in all_masks})
    before, after = (all_masks, fewer) if more else (fewer, all_masks)
    model.masks = before
    with pytest.raises(ModelError, match=f"over other layers already: {first} is among one of the two"):
        model.masks = after
    assert model.masks == before


def test_replaced_masks_are_freed_after_a_prediction(model):
    model.masks = random_masks(model)
    model.predict(["the food was good"])
    layer = model.backbone.encoder.layer[0].attention.self.query
    packed = weakref.ref(layer.own_bits)
    assert packed() is not None
    model.masks = random_masks(model)
    assert packed() is None


def test_a_masked_backbone_without_routing_is_an_error(model):
    model.masks = random_masks(model)
    ids, mask = batch_of(model)
    assert isinstance(model.backbone.encoder.layer[0].attention.self.query, MaskedLinear)
    with pytest.raises(ModelError, match="without a route"):
        model.backbone(input_ids=ids, attention_mask=mask)
