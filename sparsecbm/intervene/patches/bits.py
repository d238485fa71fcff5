"""Single bits of a concept's mask, flipped in a context or for good.

Bits are flipped by exclusive or on the packed bytes. So a second flip of the same bits exactly undoes the first,
whatever was flipped in between. Packed bytes are replaced and never written to.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod

import torch
from torch import Tensor

from sparsecbm.base.errors import InterventionError, unknown
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.in_context import BitFlips, changed
from sparsecbm.model.masked import MaskedLinear, masked_layers
from sparsecbm.model.masks import ConceptMask

# Layer -> indices into its flattened weight, each once.
Positions = Mapping[str, Sequence[int]]


def require_masked_layers(model: ConceptBottleneck) -> dict[str, MaskedLinear]:
    """Return the masked layers by their name in the backbone.

    Raises:
        InterventionError: the model has none.
    """
    layers = masked_layers(model.backbone)
    if not layers:
        raise InterventionError("the model is dense: it has no masks to flip bits of; prune it, or edit the concept")
    return layers


def bit_budget(model: ConceptBottleneck, max_flipped_share: float) -> int:
    """Return a share of one mask's bits as an even number of at least 2.

    Raises:
        InterventionError: the model has no masks.
    """
    size = sum(layer.weight.numel() for layer in require_masked_layers(model).values())
    return max(2, int(max_flipped_share * size) // 2 * 2)


def concept_index(model: ConceptBottleneck, concept: str) -> int:
    """Return the index of a concept in every mask set of the model.

    Raises:
        InterventionError: the name is unknown; the message lists the choices.
    """
    if concept not in model.concept_set.names:
        raise InterventionError(unknown("concept", concept, model.concept_set.names))
    return model.concept_set.names.index(concept)


def toggle(model: ConceptBottleneck, concept: str, positions: Positions) -> None:
    """Flip bits of one concept's mask for good, in every context; the masks of other concepts are untouched.

    Raises:
        InterventionError: as `bit_flips`. Then nothing is flipped.
    """
    flips, layers = bit_flips(model, concept, positions), require_masked_layers(model)
    for layer in flips.layers:
        layers[layer].own_bits = flips.apply(layer, layers[layer].own_bits)


@contextmanager
def toggled(model: ConceptBottleneck, concept: str, positions: Positions) -> Iterator[None]:
    """Flip bits in this context while the block runs; other threads and tasks see the model as it is.

    Raises:
        InterventionError: as `bit_flips`.
    """
    with changed(model.owner, bit_flips(model, concept, positions)):
        yield


def bit_flips(model: ConceptBottleneck, concept: str, positions: Positions, patch: object = None) -> BitFlips:
    """Return flips of one concept's mask.

    Args:
        patch: the patch that the flips belong to

    Raises:
        InterventionError: a layer is not masked, or a position is out of range or repeated.
    """
    index, layers = concept_index(model, concept), require_masked_layers(model)
    checked = check_positions(layers, positions)
    return BitFlips(index, {layer: _changed_bytes(indices) for layer, indices in checked}, patch)


def bits_at(model: ConceptBottleneck, concept: str, positions: Positions) -> dict[str, Tensor]:
    """Return the bits at some positions by layer, [positions], bool.

    Raises:
        InterventionError: as `bit_flips`.
    """
    index, layers = concept_index(model, concept), require_masked_layers(model)
    bits = {}
    for layer, indices in check_positions(layers, positions):
        packed = layers[layer].bits[index]
        indices = indices.to(packed.device)
        bits[layer] = (packed[indices // 8] >> (7 - indices % 8) & 1).bool()
    return bits


def check_positions(layers: Mapping[str, MaskedLinear], positions: Positions) -> list[tuple[str, Tensor]]:
    """Return positions as tensors, after a check that each exists and occurs once.

    Raises:
        InterventionError: one does not; the message names the layer and the position.
    """
    checked = []
    for layer, layer_positions in positions.items():
        if layer not in layers:
            raise InterventionError(unknown("masked layer", layer, layers))
        indices, size = torch.as_tensor(layer_positions, dtype=torch.long), prod(layers[layer].weight.shape)
        outside = indices[(indices < 0) | (indices >= size)]
        if len(outside):
            raise InterventionError(f"position {int(outside[0])} is out of range: layer {layer} has {size} weights")
        if len(indices.unique()) < len(indices):
            raise InterventionError(f"a position of layer {layer} occurs twice, which would flip it back")
        if len(indices):
            checked.append((layer, indices))
    return checked


def mask_checksum(mask: ConceptMask) -> str:
    """Return the sha256 over the layers, shapes and bits of one concept's mask, as hex."""
    shapes = {layer: list(mask.shapes[layer]) for layer in sorted(mask.shapes)}
    digest = hashlib.sha256(json.dumps({"concept": mask.name, "shapes": shapes}, sort_keys=True).encode())
    for layer in shapes:
        digest.update(mask.bits[layer].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _changed_bytes(indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return which bytes of a layer's packed mask change, and the value that each is xored with."""
    byte_indices, inverse = (indices // 8).unique(return_inverse=True)
    values = torch.zeros(len(byte_indices), dtype=torch.long).index_add_(0, inverse, 1 << (7 - indices % 8))
    return byte_indices, values.to(torch.uint8)
