"""How much memory the activations of an update take: what autograd keeps for the backward pass, counted.

The forward pass runs on one text and on two; more texts add as much each. Weights are single numbers that are spread to
the shape of the weight, so they take no memory, and a backbone of any family and size is counted as it is.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from sparsecbm.base.params import Params
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import find_blocks, prunable_layers
from sparsecbm.train.gradient_checkpointing import gradient_checkpointing
from sparsecbm.train.method import train_all, train_embeddings

FLOAT = 4  # bytes of a float32 number


def without_weights(shell: ConceptBottleneck) -> ConceptBottleneck:
    """Turn a model on torch's device `meta` into one that computes on the CPU, with weights that take no memory."""
    for module in shell.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            spread = torch.zeros((), dtype=weight.dtype).expand(weight.shape)
            setattr(module, name, nn.Parameter(spread, requires_grad=weight.requires_grad))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.zeros(buffer.shape, dtype=buffer.dtype))
    return shell


def bytes_of_dense_update(model: ConceptBottleneck, params: Params, texts: int, tokens: int) -> int:
    """Bytes that the forward pass of a batch keeps for the backward pass of the dense model, with its adapters.

    Args:
        model: as `without_weights` gives it; or any other
        texts, tokens: of the batch, padding included
    """
    train_all(model, params.finetune)
    return _of_batch(model, params, (texts, tokens), model)


def bytes_of_masked_update(model: ConceptBottleneck, params: Params, texts: int, tokens: int) -> int:
    """The same for the training of masks, with the masked weights themselves, which each pass makes anew.

    Blocks below the first masked one keep nothing, if weights are frozen. The batch goes through the other blocks once
    for each mask that its texts use: one and those of its null concepts, or with `prune.concepts: all` every one.

    Raises:
        ConfigError: a layer pattern matches nothing.
    """
    prune, concepts = params.prune, len(model.concept_set.names)
    model.requires_grad_(prune.weights == "trained")
    train_embeddings(model, prune.weights == "trained" and not params.finetune.freeze_embeddings)
    layers = prunable_layers(model.backbone, prune.layers, prune.masked_from).values()
    for layer in layers:  # they stand for the masked weights, whose gradients are always needed
        layer.weight.requires_grad_(True)
    copies = concepts if prune.concepts == "all" else 1 + -(-prune.null_concepts // concepts)
    activations = _of_batch(model, params, (texts, tokens), lambda ids, mask: model.represent(ids, mask))
    return copies * (activations + FLOAT * sum(layer.weight.numel() for layer in layers))


def _of_batch(
    model: ConceptBottleneck, params: Params, shape: tuple[int, int], forward: Callable[[Tensor, Tensor], object]
) -> int:
    """Bytes that a batch of this shape, (texts, tokens), keeps.

    With gradient checkpointing these are the inputs of all blocks, and all of one block, while that runs once more.
    """
    kept = _all_of_batch(model, shape, forward)
    if not params.finetune.gradient_checkpointing:
        return kept
    with gradient_checkpointing(model.backbone):
        inputs = _all_of_batch(model, shape, forward)
    trained = [block for block in find_blocks(model.backbone)[1] if any(w.requires_grad for w in block.parameters())]
    return inputs + (kept - inputs) // len(trained)


def _all_of_batch(model: ConceptBottleneck, shape: tuple[int, int], forward: Callable[[Tensor, Tensor], object]) -> int:
    texts, tokens = shape
    one, two = (_saved(model, number, tokens, forward) for number in (1, 2))
    return one + (texts - 1) * (two - one)


def _saved(model: ConceptBottleneck, texts: int, tokens: int, forward: Callable[[Tensor, Tensor], object]) -> int:
    """Bytes of the distinct tensors that autograd keeps in a forward pass, apart from the model's own."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # alive, so no other tensor gets its address
        return tensor

    model.train()
    with torch.random.fork_rng([]), saved_tensors_hooks(keep, lambda tensor: tensor):
        forward(torch.zeros(texts, tokens, dtype=torch.long), torch.ones(texts, tokens, dtype=torch.long))
    return sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in own)
