"""Gradients of one concept's own loss through its own subnetwork, streamed by layers within a memory budget.

The loss is CE(logits_k, c*_k) and nothing else: with the label's loss in it, the masks of all concepts grow alike.
The gradients are taken under m_k (Tan et al., arXiv 2312.15033), not under another concept's mask.
"""

from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Tensor

from sparsecbm.base.errors import ConfigError
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import evaluation_mode
from sparsecbm.model.masked import weight_leaves
from sparsecbm.prune.fisher import check_gradients
from sparsecbm.train.examples import Batch
from sparsecbm.train.loss import cross_entropy

BYTES = 4  # float32
MEGABYTE = 2**20


def layer_groups(shapes: dict[str, tuple[int, ...]], gradients: int, memory_mb: float) -> list[list[str]]:
    """Consecutive layers whose `gradients` gradients fit into the budget together.

    Each group costs a forward and backward pass of its own, so a larger budget is faster.

    Raises:
        ConfigError: the largest layer alone does not fit; says the least budget that does.
    """
    cost = {layer: prod(shape) * gradients * BYTES for layer, shape in shapes.items()}
    largest = max(cost, key=cost.get)
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


def concept_gradients(
    model: ConceptBottleneck, concept: str, batches: Sequence[Batch], memory_mb: float
) -> Iterator[tuple[str, Tensor]]:
    """Gradients dL_k/d(W * m_k) of each pruned layer, one row a batch.

    Args:
        model: a masked model; it reads in eval mode, without dropout
        batches: small batches; each gives one gradient, of its mean loss

    Yields:
        layer name and gradients, [batches, weights of the layer], zero where the mask is zero

    Raises:
        PruningError: a gradient is not finite, or all of a layer's are zero.
    """
    shapes = model.masks.shapes
    with evaluation_mode(model):
        for group in layer_groups(shapes, len(batches), memory_mb):
            found = {layer: torch.empty(len(batches), prod(shapes[layer])) for layer in group}
            for row, batch in enumerate(batches):
                for layer, gradient in zip(group, _backward(model, concept, batch, group), strict=True):
                    found[layer][row] = gradient.reshape(-1).float().cpu()
            for layer in group:
                gradients = found.pop(layer)
                gradients *= model.masks[concept][layer].reshape(-1).cpu()
                check_gradients(gradients, f"concept {concept!r}, layer {layer}")
                yield layer, gradients


def _backward(model: ConceptBottleneck, concept: str, batch: Batch, layers: list[str]) -> tuple[Tensor, ...]:
    place = model.concept_set.names.index(concept)
    rows = {concept: torch.arange(len(batch.ids), device=batch.ids.device)}
    with weight_leaves() as leaves:
        logits = model.concept_heads(model.represent(batch.ids, batch.mask, rows))[concept]
        loss = cross_entropy(logits, batch.concepts[concept])
        return torch.autograd.grad(loss, [leaves[layer, place] for layer in layers])
