"""Compact models, compared with the masked models that they come from."""

import pytest
import torch

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ModelError
from sparsecbm.model.compact import CompactModel, compact, concept_blocks, unfold, weights_after_cut
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.units import find_units
from tests.support.structured_models import SIZES, family_model, structured
from tests.support.tiny_models import TEXTS, batch_of, random_masks, run_copies, tiny_model, write_backbone


def assert_same(actual, expected):
    for name, values in expected.concept_logits.items():
        torch.testing.assert_close(actual.concept_logits[name], values, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(actual.label_logits, expected.label_logits, atol=1e-5, rtol=1e-5)


def inside(masks, density=0.6):
    """Return masks that keep a random share of the weights of other masks."""
    draw = torch.Generator().manual_seed(5)
    return MaskSet.from_masks(
        {
            mask.name: {
                layer: kept & (torch.rand(kept.shape, generator=draw) < density) for layer, kept in mask.items()
            }
            for mask in masks
        }
    )


@pytest.mark.parametrize("masked_from", [0, 1])
@pytest.mark.parametrize("family", SIZES)
@torch.no_grad()
def test_outputs_equal_those_of_the_masked_model(family, masked_from, tmp_path):
    model = family_model(tmp_path, family)
    dense = model(*batch_of(model)).concept_logits
    model.masks = structured(model, masked_from)
    small = model.compact()
    for texts in (TEXTS, TEXTS[:1], [TEXTS[0]] * 2):  # padded texts, a single text, texts without padding
        assert_same(small(*batch_of(model, texts)), model(*batch_of(model, texts)))
    actual = small(*batch_of(model)).concept_logits
    assert not any(torch.allclose(actual[name], dense[name], atol=1e-2) for name in dense)  # the masks have an effect
    model.masks = structured(model, masked_from, seed=1)
    other = model(*batch_of(model)).concept_logits  # the oracle distinguishes masks
    assert not any(torch.allclose(actual[name], other[name], atol=1e-2) for name in dense)


@pytest.mark.parametrize("family", SIZES)
def test_dropped_rows_and_columns_are_removed(family, tmp_path):
    """Each map of block 2 has only the rows or columns of kept units."""
    model = family_model(tmp_path, family)
    model.masks = structured(model, masked_from=2)
    (last,) = concept_blocks(model.compact().backbone)
    for name, block in zip(model.concept_set.names, last.branches, strict=True):
        for group in find_units(model.backbone):
            if group.block == 2:
                for layer in group.layers:
                    small = block.get_submodule(layer.split(".2.")[1]).weight
                    assert small.numel() == model.masks[name][layer].sum()


@pytest.mark.parametrize("masked_from", [0, 1])
@pytest.mark.parametrize("family", SIZES)
@torch.no_grad()
def test_masks_of_any_kind_can_be_unfolded(family, masked_from, tmp_path):
    model = family_model(tmp_path, family)
    dense = model(*batch_of(model)).concept_logits
    layers = prunable_layers(model.backbone, masked_from=masked_from)
    model.masks = MaskSet.from_masks(
        {n: {layer: torch.rand(m.weight.shape) < 0.3 for layer, m in layers.items()} for n in dense}
    )
    unfolded = unfold(model)
    assert_same(unfolded(*batch_of(model)), model(*batch_of(model)))
    assert not any(
        torch.allclose(values, dense[name], atol=1e-2)
        for name, values in unfolded(*batch_of(model)).concept_logits.items()
    )
    size = sum(p.numel() for p in model.backbone.parameters())
    assert sum(p.numel() for p in unfolded.backbone.parameters()) == size + model.masks.size


@torch.no_grad()
def test_the_biases_of_dropped_units_have_no_effect(tmp_path):
    """The output of a dropped neuron is multiplied by zeros, so its bias has no effect. Other biases have one."""
    model = family_model(tmp_path, "bert")
    model.masks = structured(model)
    before = model(*batch_of(model))
    bias = model.backbone.encoder.layer[1].intermediate.dense.bias
    dropped = ~model.masks.union()["encoder.layer.1.intermediate.dense"].any(1)
    assert dropped.any()
    bias[dropped] = 100.0
    assert_same(model(*batch_of(model)), before)
    assert_same(model.compact()(*batch_of(model)), before)
    bias[~dropped] = 100.0
    changed = model(*batch_of(model))
    assert not torch.allclose(changed.label_logits, before.label_logits, atol=1e-3)
    assert_same(model.compact()(*batch_of(model)), changed)


def test_predictions_stay_the_same(tmp_path):
    model = family_model(tmp_path, "bert")
    model.masks = structured(model)
    small = model.compact()
    assert isinstance(small, CompactModel)
    expected, actual = model.logits(TEXTS, batch_size=2), small.logits(TEXTS, batch_size=2)
    for name in expected.concepts:
        assert actual.concepts[name] == pytest.approx(expected.concepts[name], abs=1e-5)
    assert actual.label == pytest.approx(expected.label, abs=1e-5)
    assert [p.label.state for p in small.predict(TEXTS)] == [p.label.state for p in model.predict(TEXTS)]


@torch.no_grad()
def test_rows_of_one_batch_can_belong_to_different_concepts(tmp_path):
    model = family_model(tmp_path, "bert")
    model.masks = structured(model)
    rows = {"noise": torch.tensor([2, 0]), "food": torch.tensor([1])}
    expected, actual = (m.represent(*batch_of(model), rows) for m in (model, model.compact()))
    for name in rows:
        torch.testing.assert_close(actual[name], expected[name], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_shared_blocks_exist_once_and_run_once(tmp_path):
    model = family_model(tmp_path, "bert")
    model.masks = structured(model, masked_from=2)
    small = model.compact()
    shared = small.backbone.encoder.layer[0]
    assert len(small.backbone.encoder.layer) == 3
    calls = []
    branches = small.backbone.encoder.layer[2].branches
    for block in (shared, *branches):
        block.register_forward_hook(lambda module, args, output: calls.append(len(output)))
    small(*batch_of(model))
    assert calls == [3, 3, 3]  # the shared block once, the last block once for each concept
    assert branches[0].output.LayerNorm.weight is branches[1].output.LayerNorm.weight


@torch.no_grad()
def test_a_compact_model_is_a_snapshot(tmp_path):
    model = family_model(tmp_path, "bert")
    model.masks = structured(model)
    small = model.compact()
    before = small(*batch_of(model))
    for parameter in model.parameters():
        parameter.add_(1.0)
    assert_same(small(*batch_of(model)), before)
    assert not torch.allclose(model(*batch_of(model)).label_logits, before.label_logits, atol=1e-3)


def test_layers_without_masks_stay_complete(tmp_path):
    model = family_model(tmp_path, "bert")
    model.masks = structured(model, patterns=("*.attention.*",))
    small = model.compact()
    with torch.no_grad():
        assert_same(small(*batch_of(model)), model(*batch_of(model)))
    first, second = small.backbone.encoder.layer[1].branches
    assert first.intermediate.dense.weight is second.intermediate.dense.weight


def test_a_compact_model_has_both_label_heads_and_the_given_class(tmp_path):
    class Mine(CompactModel):
        pass

    model = family_model(tmp_path, "bert")
    model.masks = structured(model)
    assert model.compact().hard_head is None
    model.add_hard_head().set(torch.randn(3, 5), torch.randn(3))
    small = compact(model, Mine)
    assert type(small) is Mine and type(unfold(model, Mine)) is Mine
    assert torch.equal(small.hard_head.linear.weight, model.hard_head.linear.weight)
    assert small.hard_head.linear.weight is not model.hard_head.linear.weight
    assert not any(parameter.requires_grad for parameter in small.parameters())


@pytest.mark.parametrize("masked_from", [0, 1])
@pytest.mark.parametrize("family", ["modernbert", "gemma3_text"])
@torch.no_grad()
def test_each_block_gets_its_own_attention_mask(family, masked_from, tmp_path):
    """Local and global blocks alternate. Local blocks see a window of 2 tokens on each side, or 1 token before."""
    model = tiny_model(write_backbone(tmp_path / family, family))
    for parameter in model.parameters():
        parameter.normal_(std=0.3)
    kinds = model.backbone.config.layer_types
    ids, mask = batch_of(model)
    masks = random_masks(model, masked_from=masked_from)
    expected = run_copies(model, masks, ids, mask)
    model.masks = masks
    for variant in (model, unfold(model)):
        logits = variant(ids, mask).concept_logits
        for name in masks.concepts:
            torch.testing.assert_close(logits[name], expected[name], atol=1e-5, rtol=1e-5)
    model.backbone.config.layer_types = kinds[::-1]  # the oracle depends on the kinds
    for number, block in enumerate(model.backbone.layers):
        block.attention_type = kinds[::-1][number]  # ModernBERT uses this attribute
    assert not torch.allclose(model(ids, mask).concept_logits["food"], expected["food"], atol=1e-3)


def test_foreign_hooks_stay_on_the_blocks(tmp_path):
    """Compact blocks lose the hook that splits rows, and no other hook."""
    model = family_model(tmp_path, "bert")
    calls = []
    model.backbone.encoder.layer[1].register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    model.masks = structured(model, masked_from=1)
    small = model.compact()
    small(*batch_of(model))
    assert calls == [3, 3]  # once for each concept
    calls.clear()
    model(*batch_of(model))
    assert calls == [3]


def test_parameters_by_concept_by_hand(tmp_path):
    """`food` keeps one of four heads and 8 of 32 neurons of block 2, and `noise` keeps everything.

    A head of width 4 has 3 * (4 * 16 + 4) parameters and 16 * 4 in columns; a neuron has 16 + 1 and 16.
    """
    model = family_model(tmp_path, "bert")
    backbone_size = sum(p.numel() for p in model.backbone.parameters())
    shapes = {layer: tuple(m.weight.shape) for layer, m in prunable_layers(model.backbone, masked_from=2).items()}
    food = {}
    for group in find_units(model.backbone)[-2:]:
        food.update(group.masks(torch.arange(group.count) < (1 if group.kind == "head" else 8), shapes))
    full = {layer: torch.ones(shape).bool() for layer, shape in shapes.items()}
    model.masks = MaskSet.from_masks({"food": food, "noise": full})
    small = model.compact()
    gone = 3 * (3 * (4 * 16 + 4) + 16 * 4) + 24 * (16 + 1 + 16)
    assert small.parameters_by_concept() == {"food": backbone_size - gone, "noise": backbone_size}


@pytest.mark.parametrize("masked_from", [0, 1])
@pytest.mark.parametrize("family", SIZES)
@torch.no_grad()
def test_weights_inside_kept_units_are_multiplied(family, masked_from, tmp_path):
    """Masks that cut through units: dropped units are cut out, and the mask counts in what is left."""
    model = family_model(tmp_path, family)
    model.masks = whole = structured(model, masked_from)
    of_units = model(*batch_of(model))
    model.masks = inside(whole)
    small, expected = model.compact(), model(*batch_of(model))
    assert_same(small(*batch_of(model)), expected)
    assert not torch.allclose(of_units.label_logits, expected.label_logits, atol=1e-2)  # the mask inside has an effect
    model.masks = whole
    assert {n: p.shape for n, p in small.named_parameters()} == {
        n: p.shape for n, p in model.compact().named_parameters()
    }


def test_a_concept_that_keeps_nothing_of_a_block_keeps_its_first_head(tmp_path):
    """transformers cannot run an attention without heads; the weights of this one are zero."""
    model = family_model(tmp_path, "bert")
    masks = structured(model)
    heads = next(group for group in find_units(model.backbone) if group.kind == "head")
    none = heads.masks(torch.zeros(heads.count, dtype=torch.bool), masks.shapes)
    model.masks = masks.replaced("noise", none)
    small = model.compact()
    assert small.backbone.encoder.layer[0].branches[1].attention.self.query.weight.shape == (4, 16)
    with torch.no_grad():
        assert_same(small(*batch_of(model)), model(*batch_of(model)))


@torch.no_grad()
def test_masks_that_drop_no_unit_leave_nothing_to_cut(tmp_path):
    model = family_model(tmp_path, "bert")
    model.masks = masks = random_masks(model)
    assert weights_after_cut(model) is None
    with pytest.raises(ModelError, match=r"no mask drops a whole head or neuron, .* `structured` or `hierarchical`"):
        model.compact()
    layer = "encoder.layer.1.intermediate.dense"
    neuron = next(group for group in find_units(model.backbone) if group.kind == "neuron" and layer in group.layers)
    one = neuron.masks(torch.arange(neuron.count) != 5, masks.shapes)
    noise = {name: masks["noise"][name] & kept for name, kept in one.items()}
    model.masks = masks.replaced("noise", noise)
    assert weights_after_cut(model) == 2 * model.masks.size - 2 * 16  # a row of 16 weights and a column of 16
    assert_same(model.compact()(*batch_of(model)), model(*batch_of(model)))


def test_errors_name_the_limits_of_a_compact_model(tmp_path, model):
    with pytest.raises(ModelError, match="has no masks; prune it first"):
        model.compact()
    masked = family_model(tmp_path, "bert")
    masked.masks = structured(masked)
    small = masked.compact()
    assert small.masks is None
    with pytest.raises(ModelError, match="takes no masks"):
        small.masks = structured(masked)
    small.cut = None
    with pytest.raises(ModelError, match="its masks are not known"):
        small.save_pretrained(tmp_path / "small")
    with pytest.raises(ModelError, match="without a route"):
        small.backbone(*batch_of(masked))
    other = tiny_model(write_backbone(tmp_path / "deberta", "deberta"))
    shapes = {layer: tuple(m.weight.shape) for layer, m in prunable_layers(other.backbone).items()}
    other.masks = MaskSet.dense(other.concept_set.names, shapes)
    with pytest.raises(ModelError, match="heads and neurons of 'deberta' are not known"):
        other.compact()
    with pytest.raises(ModelError, match="family 'deberta' cannot be unfolded"):
        unfold(other)


@pytest.mark.parametrize(
    ("family", "masked_from"), [("bert", 0), ("bert", 1), ("gpt2", 1), ("opt", 1), ("llama", 0), ("modernbert", 1)]
)
@torch.no_grad()
def test_a_compact_model_is_saved_and_loaded(family, masked_from, tmp_path):
    """The folder holds a masked model: what no concept keeps is zero, and everything else is as it was."""
    sizes = {"num_hidden_layers": 4, **SIZES.get(family, {})}
    model = tiny_model(write_backbone(tmp_path / family, family, **sizes))
    for parameter in model.parameters():
        parameter.normal_(std=0.3)
    whole = structured(model, masked_from)
    for masks in (whole, inside(whole), random_masks(model, masked_from=masked_from)):
        model.masks = masks
        model.add_hard_head().set(torch.randn(3, 5), torch.randn(3))
        expected_logits = model.logits(TEXTS)
        small = unfold(model) if weights_after_cut(model) is None else compact(model)
        before = torch.get_rng_state()
        small.save_pretrained(tmp_path / "small")
        assert torch.equal(torch.get_rng_state(), before)
        loaded = CompactModel.from_pretrained(tmp_path / "small")
        masked = SparseCBM.from_pretrained(tmp_path / "small")
        assert masked.masks == masks
        changed = 0
        for name, weight in masked.backbone.state_dict().items():
            layer = name.rpartition(".")[0]
            if name.endswith("weight") and layer in masks.shapes:
                kept = masks.union()[layer]
                expected = torch.where(kept, model.backbone.state_dict()[name], 0)
                assert torch.equal(weight, expected)
                changed += not kept.all()
        assert changed
        for logits in (loaded.logits(TEXTS), masked.logits(TEXTS)):
            assert logits.label == pytest.approx(expected_logits.label, abs=1e-5)
            for name in expected_logits.concepts:
                assert logits.concepts[name] == pytest.approx(expected_logits.concepts[name], abs=1e-5)
        assert {n: p.shape for n, p in loaded.named_parameters()} == {n: p.shape for n, p in small.named_parameters()}
        assert torch.equal(loaded.hard_head.linear.weight, model.hard_head.linear.weight)
