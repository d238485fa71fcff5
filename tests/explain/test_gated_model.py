"""Gates on heads and neurons, compared with copies of the model whose weights are set to zero."""

import copy

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.explain.gated_model import GatedModel, KeptUnit
from sparsecbm.model.compact import unfold
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.units import find_units
from tests.support.patches import patch_by_hand
from tests.support.planted_model import planted_masks, planted_model
from tests.support.tiny_models import TEXTS, batch_of, random_masks, tiny_model, with_large_weights, write_backbone

FAMILIES = ("bert", "roberta", "distilbert", "gpt2", "opt", "llama", "electra", "modernbert", "qwen3", "gemma3_text")


@torch.no_grad()
def without(model, units):
    """Return a copy of the model in which all weights of some units are zero."""
    cut = copy.deepcopy(model)
    layers = dict(cut.backbone.named_modules())
    for group in find_units(cut.backbone):
        gone = torch.zeros(group.count, dtype=torch.bool)
        gone[[unit.index for unit in units if (unit.kind, unit.block) == (group.kind, group.block)]] = True
        for layer, mask in group.masks(gone, {name: layers[name].weight.shape for name in group.layers}).items():
            layers[layer].weight[mask] = 0
    return cut


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("masked_from", [0, 1])
def test_a_gate_of_zero_is_a_unit_of_zero_weights(family, masked_from, tmp_path):
    model = with_large_weights(tiny_model(write_backbone(tmp_path / family, family)), masked_from)
    gated, draw = GatedModel(model), np.random.default_rng(0)
    for text in TEXTS:
        ids, _ = batch_of(model, [text])
        for name, units in gated.units.items():
            sets = draw.random((4, len(units))) < 0.5
            logits = gated.logits(name, ids, torch.tensor(sets, dtype=torch.float32))
            for chosen, row in zip(sets, logits, strict=True):
                dropped = [unit for unit, is_kept in zip(units, chosen, strict=True) if not is_kept]
                expected = torch.tensor(without(model, dropped).logits(text).concepts[name])
                torch.testing.assert_close(row, expected, atol=1e-4, rtol=1e-4)
            whole = gated.logits(name, ids, torch.ones(1, len(units)))[0]
            torch.testing.assert_close(whole, torch.tensor(model.logits(text).concepts[name]), atol=1e-4, rtol=1e-4)
            assert (whole - logits).abs().max() > 0.01  # the sets do change something


def test_the_units_are_those_of_which_the_concept_keeps_a_weight(backbone):
    """The planted masks cover the 32 neurons of block 1; each concept drops the two neurons of the other one."""
    model = planted_model(backbone)
    model.masks = planted_masks()
    units = GatedModel(model).units
    assert units["food"] == tuple(KeptUnit("neuron", 1, index) for index in [0, 1, *range(4, 32)])
    assert units["noise"] == tuple(KeptUnit("neuron", 1, index) for index in range(2, 32))


def test_activations_are_those_that_reach_the_next_map(backbone):
    model = planted_model(backbone)
    model.masks = planted_masks()
    gated = GatedModel(model)
    ids, _ = batch_of(model, ["the food was bad"])
    seen = gated.activations("food", ids, torch.ones(30))[1]
    assert seen.shape == (6, 32)  # [CLS], four words, [SEP]
    assert seen[:, 0].argmax() == 4  # neuron 0 is active at "bad"
    assert seen[4, 0] > 1 and seen[3, 0] < 0.1


def test_the_model_stays_as_it_is_and_patches_in_force_count(lively):
    before = {name: value.clone() for name, value in lively.state_dict().items()}
    hooks = sum(len(module._forward_pre_hooks) for module in lively.modules())
    ids, _ = batch_of(lively, TEXTS[:1])
    gated = GatedModel(lively)
    gated.logits("food", ids, torch.zeros(1, len(gated.units["food"])))
    layer = next(iter(lively.masks.shapes))
    patch = patch_by_hand(lively, {layer: tuple(range(100))})
    with lively.patched(patch):
        expected, patched = torch.tensor(lively.logits(TEXTS[0]).concepts["food"]), GatedModel(lively)
    whole = [g.logits("food", ids, torch.ones(1, len(g.units["food"])))[0] for g in (gated, patched)]
    torch.testing.assert_close(whole[1], expected, atol=1e-4, rtol=1e-4)
    assert (whole[0] - whole[1]).abs().max() > 0.01
    assert all(torch.equal(value, before[name]) for name, value in lively.state_dict().items())
    assert sum(len(module._forward_pre_hooks) for module in lively.modules()) == hooks


def test_models_without_known_units_or_masks_are_refused(backbone, tmp_path):
    with pytest.raises(ModelError, match=r"no masks.*dense or compact.*models/sparse"):
        GatedModel(tiny_model(backbone))
    with pytest.raises(ModelError, match="mode `standard` has no concepts"):
        GatedModel(tiny_model(backbone, mode="standard"))
    masked = with_large_weights(tiny_model(backbone))
    with pytest.raises(ModelError, match=r"no masks.*dense or compact"):
        GatedModel(unfold(masked))
    deberta = tiny_model(write_backbone(tmp_path / "deberta", "deberta-v2"))
    deberta.masks = random_masks(deberta)
    with pytest.raises(ModelError, match="heads and neurons of 'deberta-v2' are not known"):
        GatedModel(deberta)


def test_a_concept_without_weights_has_no_units(backbone):
    model = tiny_model(backbone)
    masks = random_masks(model)
    none = {layer: torch.zeros_like(mask) for layer, mask in masks["food"].items()}
    model.masks = MaskSet.from_masks({"food": none, "noise": dict(masks["noise"])})
    assert GatedModel(model).units["food"] == ()
