"""Gradients of one concept's own loss through its own subnetwork, layer by layer within a memory budget.

The loss is CE(logits_k, c*_k) and nothing else: with the label's loss in it, the masks of all concepts become alike.
The gradients are taken under m_k (Tan et al., arXiv 2312.15033), not under another concept's mask.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import Prune
from sparsecbm.model.batches import shuffle_batches
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import evaluation_mode
from sparsecbm.model.masked import weight_leaves
from sparsecbm.pruning.fisher import check_gradients
from sparsecbm.pruning.required_masks import require_masks
from sparsecbm.train.examples import Batch, Examples, build_batch
from sparsecbm.train.loss import cross_entropy
from sparsecbm.train.processes import add_up, share

FLOAT_BYTES = 4
MEGABYTE = 2**20


def draw_gradient_batches(model: ConceptBottleneck, data: Examples, params: Prune, seed: int, step: int) -> list[Batch]:
    """Small batches of training texts, drawn anew for each step; fewer than configured if the texts run out."""
    drawn = shuffle_batches(data.lengths, params.gradient_batch, seed * 1_009 + step)
    pad_id = model.tokenizer.pad_token_id
    return [build_batch(data, indices, pad_id, model.device) for indices in drawn[: params.gradients]]


def group_layers(shapes: Mapping[str, tuple[int, ...]], gradients: int, memory_mb: float) -> list[list[str]]:
    """Groups of consecutive layers; the gradients of each group fit into the budget together.

    Each group costs a forward and backward pass of its own, so a larger budget is faster.

    Args:
        shapes: layer -> shape of its weight
        gradients: m, how many gradients each layer needs

    Raises:
        ConfigError: the largest layer alone does not fit; the message names the least budget that does.
    """
    cost = {layer: prod(shape) * gradients * FLOAT_BYTES for layer, shape in shapes.items()}
    largest = max(cost, key=cost.__getitem__)
    if cost[largest] > memory_mb * MEGABYTE:
        least = -(-cost[largest] // MEGABYTE)
        raise ConfigError(
            f"prune.memory_mb: {memory_mb:g} MB cannot hold {gradients} gradients of layer {largest}; "
            f"the least that can is {least} MB, or lower prune.gradients"
        )
    groups: list[list[str]] = []
    filled = 0
    for layer in shapes:
        if not groups or filled + cost[layer] > memory_mb * MEGABYTE:
            groups.append([])
            filled = 0
        groups[-1].append(layer)
        filled += cost[layer]
    return groups


def stream_gradients(
    model: ConceptBottleneck, concept: str, batches: Sequence[Batch], memory_mb: float
) -> Iterator[tuple[str, Tensor]]:
    """Gradients dL_k/d(W * m_k) of each pruned layer, one row for each batch.

    Args:
        model: a masked model; it runs in eval mode, without dropout
        batches: small batches; each gives one gradient, of its mean loss

    Yields:
        layer name and gradients, [batches, weights of the layer], zero where the mask is zero

    Raises:
        PruningError: a gradient is not finite, or all gradients of a layer are zero.
    """
    masks = require_masks(model)
    with evaluation_mode(model):
        for group in group_layers(masks.shapes, len(batches), memory_mb):
            by_layer = {layer: torch.zeros(len(batches), prod(masks.shapes[layer])) for layer in group}
            for row, batch in share(list(enumerate(batches))):
                for layer, gradient in zip(group, _backward(model, concept, batch, group), strict=True):
                    by_layer[layer][row] = gradient.reshape(-1).float().cpu()
            add_up(by_layer.values())  # each row is that of one process
            for layer in group:
                gradients = by_layer.pop(layer)  # frees the memory of a layer that was used
                gradients *= masks[concept][layer].reshape(-1).cpu()
                check_gradients(gradients, f"concept {concept!r}, layer {layer}")
                yield layer, gradients


def _backward(model: ConceptBottleneck, concept: str, batch: Batch, layers: list[str]) -> tuple[Tensor, ...]:
    """Gradients of one batch's loss by the masked weights of some layers."""
    concept_index = model.concept_set.names.index(concept)
    rows = {concept: torch.arange(len(batch.ids), device=batch.ids.device)}
    with weight_leaves() as leaves:
        logits = model.concept_heads(model.represent(batch.ids, batch.mask, rows))[concept]
        loss = cross_entropy(logits, batch.concepts[concept])
        return torch.autograd.grad(loss, [leaves[layer, concept_index] for layer in layers])
