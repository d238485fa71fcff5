"""With gradient checkpointing, losses and gradients stay as they are, and fewer tensors are kept."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from sparsecbm.model.masked import find_blocks, weight_leaves
from sparsecbm.pruning.gradients import stream_gradients
from sparsecbm.train.examples import build_batch, build_examples
from sparsecbm.train.gradient_checkpointing import gradient_checkpointing
from sparsecbm.train.modes import fit
from tests.support.tiny_models import batch_of, random_masks, tiny_model, write_backbone
from tests.support.tiny_tables import annotated
from tests.support.training import copy_weights, equal_weights, finetuning, training_run


def total(pooled):
    return torch.stack([values.square().sum() for values in pooled.values()]).sum()


def dense_gradients(model, switched_on):
    """Return loss, gradients and kept bytes of an update with dropout; the backward pass runs in another thread."""
    torch.manual_seed(3)
    model.train().zero_grad()
    kept = []
    with gradient_checkpointing(model.backbone, switched_on):
        with saved_tensors_hooks(lambda tensor: kept.append(tensor.nbytes) or tensor, lambda tensor: tensor):
            loss = total(model.represent(*batch_of(model)))
        with ThreadPoolExecutor(1) as thread:  # it has no context of ours, as autograd's threads for GPUs
            thread.submit(loss.backward).result()
    gradients = {name: p.grad.clone() for name, p in model.backbone.named_parameters() if p.grad is not None}
    return loss.item(), gradients, sum(kept)


@pytest.mark.parametrize("family", ["bert", "llama", "gpt2", "deberta-v2"])
def test_loss_and_gradients_are_the_same_and_less_is_kept(family, tmp_path):
    model = tiny_model(write_backbone(tmp_path / family, family))
    plain, again = (dense_gradients(model, switched_on) for switched_on in (False, True))
    assert plain[0] == again[0] and equal_weights(plain[1], again[1]) and len(plain[1]) > 10
    assert again[2] < 0.5 * plain[2]


@pytest.mark.parametrize("routed", [["food"], ["food", "noise"]])
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_gradients_of_masked_weights_are_the_same(family, routed, tmp_path):
    """A block that runs once more has the route and the masked weights of its first run."""
    model = tiny_model(write_backbone(tmp_path / family, family)).train()
    model.backbone.requires_grad_(False)
    model.masks = random_masks(model, masked_from=1)
    ids, mask = batch_of(model)
    results = []
    for switched_on in (False, True):
        torch.manual_seed(3)
        with gradient_checkpointing(model.backbone, switched_on):
            with weight_leaves() as leaves:
                pooled = model.represent(ids, mask, {name: torch.arange(len(ids)) for name in routed})
            with ThreadPoolExecutor(1) as thread:
                thread.submit(total(pooled).backward).result()
        results.append({f"{key}": leaf.grad for key, leaf in leaves.items()})
    assert equal_weights(*results) and any(bool(gradient.any()) for gradient in results[0].values())


def test_gradients_for_saliencies_are_the_same(model):
    data = build_examples(annotated(8, seed=0), model)
    batches = [build_batch(data, range(i, i + 4), model.tokenizer.pad_token_id, model.device) for i in (0, 4)]
    model.masks = random_masks(model)
    plain = dict(stream_gradients(model, "food", batches, memory_mb=10))
    with gradient_checkpointing(model.backbone):
        again = dict(stream_gradients(model, "food", batches, memory_mb=10))
    assert equal_weights(plain, again)


def test_a_training_gives_the_same_weights_and_leaves_the_blocks_as_they_were(backbone, tmp_path, monkeypatch):
    calls, results = [], []
    import sparsecbm.train.gradient_checkpointing as module

    monkeypatch.setattr(
        module, "checkpoint", lambda *args, real=module.checkpoint, **kw: calls.append(1) or real(*args, **kw)
    )
    for switched_on in (False, True):
        model = tiny_model(backbone)
        params = finetuning(epochs=1, gradient_checkpointing=switched_on)
        fit(model, annotated(16, 1), annotated(8, 2), params, training_run(tmp_path / f"{switched_on}"))
        results.append(copy_weights(model))
        assert len(calls) == (2 * 2 if switched_on else 0)  # two updates of two blocks
        assert not any("forward" in vars(block) for block in find_blocks(model.backbone)[1])
    assert equal_weights(*results)
