"""Memory of activations: what is counted for one and two texts is what a real batch keeps."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from sparsecbm.model.architecture import without_memory
from sparsecbm.model.masked import weight_leaves
from sparsecbm.planning.saved_tensors import bytes_of_dense_update, bytes_of_masked_update, without_weights
from sparsecbm.train.gradient_checkpointing import gradient_checkpointing
from tests.support.planned import params_with
from tests.support.tiny_models import random_masks, tiny_model, write_backbone


def kept_by_a_real_pass(model, run):
    """Return the bytes of what autograd keeps in a pass on the CPU, without the model's own weights."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor  # alive, so no other tensor gets its address
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    return sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in own)


def batch(texts, tokens):
    return torch.full((texts, tokens), 5), torch.ones(texts, tokens, dtype=torch.long)


@pytest.fixture(params=["bert", "distilbert", "gpt2", "llama"])
def family(request, tmp_path):
    """Return a tiny model of a family, in training."""
    return tiny_model(write_backbone(tmp_path / request.param, request.param)).train()


def shell_of(model):
    """Return the same model on the device `meta`, with weights that take no memory on the CPU."""
    return without_weights(without_memory(lambda: type(model)(
        type(model.backbone)(model.backbone.config), model.tokenizer, model.concept_set, model.settings
    )).to("meta"))  # fmt: skip


def test_a_dense_update_keeps_what_a_real_one_keeps(family):
    """The real model has frozen embeddings, as params.yaml has."""
    counted = bytes_of_dense_update(shell_of(family), params_with(), 5, 7)
    family.backbone.get_input_embeddings().weight.requires_grad_(False)
    assert counted == pytest.approx(kept_by_a_real_pass(family, lambda: family(*batch(5, 7))), rel=0.1)


@pytest.mark.parametrize(("concepts", "routed"), [("sampled", ["food"]), ("all", ["food", "noise"])])
def test_a_masked_update_keeps_its_masked_weights_and_nothing_of_shared_blocks(family, concepts, routed):
    counted = bytes_of_masked_update(shell_of(family), params_with(masked_from=1, concepts=concepts), 5, 7)
    family.requires_grad_(False)
    family.masks = random_masks(family, masked_from=1)
    rows = {name: torch.arange(5) for name in routed}

    def run():
        with weight_leaves():
            family.represent(*batch(5, 7), rows)

    assert counted == pytest.approx(kept_by_a_real_pass(family, run), rel=0.1)
    below = bytes_of_masked_update(shell_of(family), params_with(masked_from=0, concepts=concepts), 5, 7)
    assert below > 1.5 * counted  # two blocks instead of one


@pytest.mark.parametrize(("nulls", "masks"), [(1, 2), (2, 2), (3, 3)])
def test_the_masks_of_null_concepts_are_used_beside_that_of_their_concept(nulls, masks, tmp_path):
    """Of two concepts, each has one null concept of two, and the first one two of three."""
    model = tiny_model(write_backbone(tmp_path / "bert", "bert")).train()
    alone, beside = (
        bytes_of_masked_update(shell_of(model), params_with(masked_from=1, null_concepts=number), 5, 7)
        for number in (0, nulls)
    )
    assert beside == masks * alone


def test_with_gradient_checkpointing_a_batch_keeps_the_inputs_of_blocks_and_one_block(family):
    plain = params_with()
    params = plain.model_copy(update={"finetune": plain.finetune.model_copy(update={"gradient_checkpointing": True})})
    counted = bytes_of_dense_update(shell_of(family), params, 5, 7)
    family.backbone.get_input_embeddings().weight.requires_grad_(False)
    everything = kept_by_a_real_pass(family, lambda: family(*batch(5, 7)))
    with gradient_checkpointing(family.backbone):
        inputs = kept_by_a_real_pass(family, lambda: family(*batch(5, 7)))
    assert inputs < 0.5 * everything
    assert counted == pytest.approx(inputs + (everything - inputs) / 2, rel=0.1)  # two blocks
