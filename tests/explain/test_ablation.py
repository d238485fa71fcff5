"""Ablation of units, compared with copies of the model whose weights are set to zero."""

import copy
import hashlib
import json

import pytest
import torch

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.explain.ablation import Ablation, UnitEffect, ablate_units
from sparsecbm.explain.variants import Unit
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.units import find_units
from tests.support.planted_model import FALLBACK, planted_masks, planted_model
from tests.support.tiny_models import tiny_model, write_backbone

TEXTS = ["the food was good", "slow service", "a loud place but we came again and the food was bad"]
SUPPORTED = ("bert", "roberta", "distilbert", "gpt2", "opt", "llama")
LATER = ("electra", "modernbert", "mistral", "qwen3", "gemma3_text")
HEADS = {"llama": 1, "mistral": 1, "qwen3": 1, "gemma3_text": 1}  # one key/value head, which both query heads use


def random_masks(model, masked_from):
    draw = torch.Generator().manual_seed(0)
    layers = prunable_layers(model.backbone, masked_from=masked_from)
    masks = {
        n: {k: torch.rand(m.weight.shape, generator=draw) < 0.6 for k, m in layers.items()} for n in ("food", "noise")
    }
    return MaskSet.from_masks(masks)


def larger(model):
    """Return the model with large weights, so that every unit matters."""
    with torch.no_grad():
        for layer in prunable_layers(model.backbone).values():
            layer.weight.mul_(20)
    return model


@torch.no_grad()
def without(model, unit):
    """Return a copy of the model in which all weights of a unit are zero."""
    cut = copy.deepcopy(model)
    layers = dict(cut.backbone.named_modules())
    for group in find_units(cut.backbone):
        heads = group.kind == "head"
        if group.block != unit.block or unit.kind not in ("block", "head" if heads else "ffn"):
            continue
        gone = torch.ones(group.count, dtype=torch.bool)
        if unit.head is not None:
            gone = torch.arange(group.count) == unit.head
        for layer, mask in group.masks(gone, {name: layers[name].weight.shape for name in group.layers}).items():
            layers[layer].weight[mask] = 0
    return cut


@pytest.mark.parametrize(
    ("family", "masked_from"), [(f, m) for f in SUPPORTED for m in (None, 0, 1)] + [(f, 1) for f in LATER]
)
def test_effects_equal_those_of_a_copy_with_zero_weights(family, masked_from, tmp_path):
    model = larger(tiny_model(write_backbone(tmp_path / family, family)))
    if masked_from is not None:
        model.masks = random_masks(model, masked_from)
    ablations = ablate_units(model, TEXTS, batch_size=2)
    units = [effect.unit for effect in ablations[0]["food"].effects]
    assert len(units) == model.backbone.config.num_hidden_layers * (2 + HEADS.get(family, 2))
    full_logits = [model.logits([text]).concepts for text in TEXTS]  # one text at a time, so there is no padding
    largest = 0.0
    for index, unit in enumerate(units):
        cut = without(model, unit)
        for i, text in enumerate(TEXTS):
            gone = cut.logits([text]).concepts
            for name, ablation in ablations[i].items():
                state = int(full_logits[i][name].argmax())
                before, after = (
                    float(logits[name][0, state] - logits[name][0].mean()) for logits in (full_logits[i], gone)
                )
                effect = ablation.effects[index]
                assert ablation.state == model.concept_set[name].states[state]
                assert (ablation.logit, effect.effect) == pytest.approx((before, before - after), abs=1e-4)
                assert effect.read == model.concept_set[name].states[int(gone[name].argmax())]
                largest = max(largest, abs(effect.effect))
    assert largest > 0.02  # far above the tolerance


def test_the_neurons_that_carry_a_planted_concept_are_found(backbone):
    model = planted_model(backbone)
    model.masks = planted_masks()
    (ablations,) = ablate_units(model, ["the food was bad and the place was quiet"])
    for name, state in {"food": "Negative", "noise": "quiet"}.items():
        ablation = ablations[name]
        assert (ablation.state, ablation.masked) == (state, True)
        (ffn,) = ablation.largest("ffn", 1)
        assert (str(ffn.unit), ffn.read) == ("ffn 1", FALLBACK[name])
        assert ffn.effect > 0.1
        assert ffn.probability < ablation.probability
        others = [e for e in ablation.effects if e.unit not in (Unit("ffn", 1), Unit("block", 1))]
        assert [effect.effect for effect in others] == [0.0] * 6  # heads and the first block have no effect
        assert all(effect.read == state for effect in others)


def test_another_state_can_be_explained(model):
    larger(model)
    predicted = ablate_units(model, TEXTS)[0]["food"]
    other = next(state for state in model.concept_set["food"].states if state != predicted.state)
    ablations = ablate_units(model, TEXTS, {"food": other})
    assert set(ablations[0]) == {"food"}
    explained = ablations[0]["food"]
    assert (explained.state, explained.masked) == (other, False)
    assert explained.probability < predicted.probability
    prediction = model.predict(TEXTS[:1])[0].concepts["food"]
    assert explained.probability == pytest.approx(prediction.probabilities[other], abs=1e-5)


def test_kinds_select_the_ablated_units(model):
    (ablations,) = ablate_units(model, TEXTS[:1], {"noise": None}, kinds=["head"])
    assert [str(effect.unit) for effect in ablations["noise"].effects] == [
        "head 0.0",
        "head 0.1",
        "head 1.0",
        "head 1.1",
    ]


def test_blocks_below_a_unit_run_once(model):
    rows = []
    for number, block in enumerate(model.backbone.encoder.layer):
        block.register_forward_hook(lambda module, args, output, number=number: rows.append((number, len(output))))
    ablate_units(model, TEXTS)
    assert rows == [(0, 3 * 5), (1, 3 * 9)]  # 4 units per block; a dense model predicts all concepts in one pass
    rows.clear()
    model.masks = random_masks(model, masked_from=1)
    ablate_units(model, TEXTS)
    assert rows == [(0, 3 * 5), (1, 3 * 9), (1, 3 * 9)]


def fingerprint(model):
    digest = hashlib.sha256()
    for name, tensor in sorted({**dict(model.named_parameters()), **dict(model.named_buffers())}.items()):
        digest.update(name.encode() + str(tensor.requires_grad).encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    for name, module in model.named_modules():
        digest.update(repr((name, type(module), module.training, len(module._forward_pre_hooks))).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("masked", [False, True])
def test_no_bit_of_the_model_changes(model, masked):
    if masked:
        model.masks = random_masks(model, masked_from=0)
    before, logits = fingerprint(model.train()), model.logits(TEXTS).concepts
    first = ablate_units(model, TEXTS)
    assert fingerprint(model) == before
    assert all((model.logits(TEXTS).concepts[name] == values).all() for name, values in logits.items())
    assert ablate_units(model.eval(), TEXTS) == first  # the mode of the model has no effect
    model.train()
    with torch.no_grad():
        model.backbone.encoder.layer[0].output.dense.weight[0, 0] += 1e-3
    assert fingerprint(model) != before  # the fingerprint detects a change


def test_an_error_does_not_change_the_model(model):
    model.masks = random_masks(model, masked_from=0)
    logits = model.logits(TEXTS).concepts

    def fail(module, args, output):
        raise MemoryError("no memory left")

    handle = model.backbone.encoder.layer[1].attention.register_forward_hook(fail)
    before = fingerprint(model)
    with pytest.raises(MemoryError):
        ablate_units(model, TEXTS)
    assert fingerprint(model) == before
    handle.remove()
    assert all((model.logits(TEXTS).concepts[name] == values).all() for name, values in logits.items())


def test_the_largest_effects_and_the_published_form():
    effects = (
        UnitEffect(Unit("head", 0, 1), 0.5, "Positive", 0.8),
        UnitEffect(Unit("head", 1, 0), -2.0, "Positive", 0.99),
        UnitEffect(Unit("ffn", 0), 9.0, "unknown", 0.1),
    )
    ablation = Ablation("food", "Positive", 1.5, 0.9, True, effects)
    assert ablation.largest("head") == (effects[1], effects[0])
    assert ablation.largest("head", 1) == (effects[1],)
    with pytest.raises(ConfigError, match=r"unknown kind of unit 'heads'. Did you mean 'head'"):
        ablation.largest("heads")
    published = json.loads(json.dumps(ablation.to_dict()))
    assert published["effects"][2] == {
        "kind": "ffn", "block": 0, "head": None, "effect": 9.0, "read": "unknown", "probability": 0.1,
    }  # fmt: skip


def test_errors_name_invalid_arguments(backbone, model, tmp_path):
    with pytest.raises(TypeError, match="wrap a single text"):
        ablate_units(model, TEXTS[0])
    with pytest.raises(ConfigError, match=r"unknown concept 'fod'. Did you mean 'food'"):
        ablate_units(model, TEXTS, {"fod": None})
    with pytest.raises(ConfigError, match=r"unknown state of 'noise' 'silent'.*loud, quiet"):
        ablate_units(model, TEXTS, {"noise": "silent"})
    with pytest.raises(ConfigError, match=r"unknown kind of unit 'layer'. Choices: block, head, ffn"):
        ablate_units(model, TEXTS, kinds=["layer"])
    with pytest.raises(ModelError, match="mode `standard`"):
        ablate_units(tiny_model(backbone, mode="standard"), TEXTS)
    planted = planted_model(backbone)
    planted.masks = planted_masks()
    with pytest.raises(ModelError, match="a compact model cannot be ablated"):
        ablate_units(planted.compact(), TEXTS)
    deberta = tiny_model(write_backbone(tmp_path / "deberta", "deberta"))
    with pytest.raises(ModelError, match="heads and neurons of 'deberta' are not known"):
        ablate_units(deberta, TEXTS)
    assert ablate_units(model, []) == []
