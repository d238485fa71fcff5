"""Adapters of low rank: what they compute, what is trained, and the dense model that is left."""

import copy

import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import Lora
from sparsecbm.model.masked import prunable_layers
from sparsecbm.train.adapters import AdaptedLinear, add_adapters, merge_adapters, remove_adapters
from sparsecbm.train.loss import ClassWeights
from sparsecbm.train.method import DenseTraining
from sparsecbm.train.modes import fit
from tests.support.tiny_models import batch_of, tiny_model, write_backbone
from tests.support.tiny_tables import annotated
from tests.support.training import copy_weights, equal_weights, finetuning, training_run

FAMILIES = ["bert", "distilbert", "deberta-v2", "gpt2", "opt", "llama"]
RANK_2 = {"adapter": "lora", "lora": {"rank": 2, "alpha": 6.0}, "freeze_embeddings": True}


def with_random_adapters(model, lora):
    """Add adapters whose B is not 0, as after training."""
    add_adapters(model.backbone, lora)
    draw = torch.Generator().manual_seed(4)
    for module in model.backbone.modules():
        if isinstance(module, AdaptedLinear):
            module.adapter_b.data = torch.randn(module.adapter_b.shape, generator=draw)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_are_products_that_are_added_to_the_weights(family, tmp_path):
    """The oracle is a copy of the model with W + alpha / rank * B A for every adapted map; gpt2 holds [in, out]."""
    model = tiny_model(write_backbone(tmp_path / family, family))
    plain, batch = copy.deepcopy(model), batch_of(model)
    before = plain(*batch).label_logits
    with_random_adapters(model, Lora(rank=2, alpha=6.0))
    for name, layer in prunable_layers(plain.backbone).items():
        adapted = model.backbone.get_submodule(name)
        change = 3.0 * adapted.adapter_b.detach() @ adapted.adapter_a.detach()
        layer.weight.data = layer.weight + (change.T if family == "gpt2" else change)
    expected = plain(*batch).label_logits
    torch.testing.assert_close(model(*batch).label_logits, expected, atol=1e-4, rtol=1e-4)
    assert (expected - before).abs().max() > 1e-2
    merge_adapters(model.backbone)
    torch.testing.assert_close(model(*batch).label_logits, expected, atol=1e-5, rtol=1e-4)
    assert copy_weights(model).keys() == copy_weights(plain).keys()


def test_fresh_adapters_change_nothing_and_come_off_again(model):
    batch, weights = batch_of(model), copy_weights(model)
    before = model(*batch).label_logits
    add_adapters(model.backbone, Lora(rank=2))
    assert torch.equal(model(*batch).label_logits, before)
    remove_adapters(model.backbone)
    with_random_adapters(model, Lora(rank=2))
    assert not torch.equal(model(*batch).label_logits, before)
    remove_adapters(model.backbone)
    assert equal_weights(copy_weights(model), weights)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_only_adapters_and_heads_are_trained(family, tmp_path):
    model = tiny_model(write_backbone(tmp_path / family, family))
    params = finetuning(**RANK_2)
    add_adapters(model.backbone, params.lora)
    method = DenseTraining(params, ClassWeights())
    optimizer = method.make_optimizer(model)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert all("adapter_" in name or name.startswith(("concept_heads.", "label_head.")) for name in trained)
    model(*batch_of(model)).label_logits.square().sum().backward()
    assert all(p.grad is None for n, p in model.named_parameters() if n not in trained)
    optimizer.step()
    moments = sum(v.numel() for state in optimizer.state.values() for k, v in state.items() if k.startswith("exp_avg"))
    heads = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("backbone."))
    adapters = sum(
        2 * sum(layer.weight.shape) for layer in model.backbone.modules() if isinstance(layer, AdaptedLinear)
    )
    with_gradients = [p for p in model.parameters() if p.grad is not None]
    assert adapters + heads == sum(p.numel() for n, p in model.named_parameters() if n in trained)
    assert moments == 2 * sum(p.numel() for p in with_gradients) <= 2 * (adapters + heads)


@pytest.mark.parametrize(("family", "epochs"), [("bert", 1), ("llama", 6)])
def test_a_training_with_adapters_learns_and_leaves_a_plain_model(family, epochs, tmp_path):
    model = tiny_model(write_backbone(tmp_path / family, family), dropout=0.0)
    before, params = copy_weights(model), finetuning(epochs=epochs, learning_rate=1e-2, **RANK_2)
    history = fit(model, annotated(160, 1), annotated(40, 2), params, training_run(tmp_path / "c"))
    after = copy_weights(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    maps = {f"backbone.{name}.weight" for name in prunable_layers(model.backbone)}
    assert {name for name in changed if name.startswith("backbone.")} == maps
    for name in maps:  # the change has the rank of the adapter
        assert torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-3) <= 2
    if epochs > 1:
        assert max(epoch["validation.label.accuracy"] for epoch in history.epochs) > 0.7  # by chance .33


def test_a_training_with_adapters_resumes_to_the_same_bytes_and_stores_what_is_trained(backbone, tmp_path):
    data = annotated(64, 1), annotated(16, 2), finetuning(epochs=2, checkpoint_seconds=0.0, ema_decay=0.9, **RANK_2)
    whole = tiny_model(backbone)
    fit(whole, *data, training_run(tmp_path / "whole"))

    def kill(step, figures):
        if step >= 10:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(tiny_model(backbone), *data, training_run(tmp_path / "cut", on_step=kill))
    with safe_open(tmp_path / "cut" / "last" / "model.safetensors", "pt") as stored:
        assert all("adapter_" in name or "head" in name for name in stored.keys())  # noqa: SIM118 (no mapping)
    resumed = tiny_model(backbone)
    fit(resumed, *data, training_run(tmp_path / "cut"))
    assert equal_weights(copy_weights(whole), copy_weights(resumed))


def test_a_rank_or_a_pattern_that_does_not_fit_is_an_error_that_says_what_does(model):
    with pytest.raises(ConfigError, match=r"finetune.lora.rank: 17 is larger than encoder.*16 x 16.*take 1 to 16"):
        add_adapters(model.backbone, Lora(rank=17))
    with pytest.raises(ConfigError, match=r"finetune.lora.layers: unknown layer pattern '\*q_proj'.*query"):
        add_adapters(model.backbone, Lora(layers=["*q_proj"]))
    assert not any(isinstance(module, AdaptedLinear) for module in model.modules())
    with pytest.raises(ValidationError, match="freeze_embeddings is false"):
        finetuning(**{**RANK_2, "freeze_embeddings": False})


def test_a_pattern_chooses_the_maps(model):
    add_adapters(model.backbone, Lora(rank=2, layers=["*attention.self.*"]))
    assert sum(isinstance(module, AdaptedLinear) for module in model.modules()) == 2 * 3  # query, key, value
