"""Single bits of a concept's mask, flipped in place.

Bits are flipped by exclusive or on the packed bytes: a second flip of the same bits is the exact inverse of the first,
whatever was flipped in between, and no copy of a mask is kept.
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
from sparsecbm.model.masked import MaskedLinear
from sparsecbm.model.masks import ConceptMask

# Layer -> places in its flattened weight, each once.
Positions = Mapping[str, Sequence[int]]


def masked_layers(model: ConceptBottleneck) -> dict[str, MaskedLinear]:
    """The masked layers by their name in the backbone.

    Raises:
        InterventionError: the model has none.
    """
    layers = {name: module for name, module in model.backbone.named_modules() if isinstance(module, MaskedLinear)}
    if not layers:
        raise InterventionError("the model is dense: it has no masks to flip bits of; prune it, or edit the concept")
    return layers


def concept_index(model: ConceptBottleneck, concept: str) -> int:
    """The place of a concept in every mask set of the model; an unknown name is an error with the choices."""
    if concept not in model.concept_set.names:
        raise InterventionError(unknown("concept", concept, model.concept_set.names))
    return model.concept_set.names.index(concept)


def toggle(model: ConceptBottleneck, concept: str, positions: Positions) -> None:
    """Flip bits of one concept's mask in place; the masks of other concepts are untouched.

    Raises:
        InterventionError: a layer is not masked, or a position lies outside it or comes twice; nothing is flipped then.
    """
    place, layers = concept_index(model, concept), masked_layers(model)
    changes = [(layers[layer], _bytes(layer, layers, members)) for layer, members in checked(layers, positions)]
    for module, (numbers, values) in changes:
        row = module.bits[place]
        row.scatter_(0, numbers, row[numbers] ^ values)


@contextmanager
def toggled(model: ConceptBottleneck, concept: str, positions: Positions) -> Iterator[None]:
    """Bits flipped while the block runs, and flipped back afterwards, also after an error."""
    toggle(model, concept, positions)
    try:
        yield
    finally:
        toggle(model, concept, positions)


def bits_at(model: ConceptBottleneck, concept: str, positions: Positions) -> dict[str, Tensor]:
    """Bits at some positions by layer, [positions], bool.

    Raises:
        InterventionError: as `toggle`.
    """
    place, layers = concept_index(model, concept), masked_layers(model)
    found = {}
    for layer, members in checked(layers, positions):
        members = members.to(layers[layer].bits.device)
        found[layer] = (layers[layer].bits[place][members // 8] >> (7 - members % 8) & 1).bool()
    return found


def checked(layers: Mapping[str, MaskedLinear], positions: Positions) -> list[tuple[str, Tensor]]:
    """Positions as tensors, after it is certain that each exists and comes once.

    Raises:
        InterventionError: naming the layer and the position.
    """
    found = []
    for layer, members in positions.items():
        if layer not in layers:
            raise InterventionError(unknown("masked layer", layer, layers))
        members, size = torch.as_tensor(members, dtype=torch.long), prod(layers[layer].weight.shape)
        outside = members[(members < 0) | (members >= size)]
        if len(outside):
            raise InterventionError(f"position {int(outside[0])} is out of range: layer {layer} has {size} weights")
        if len(members.unique()) < len(members):
            raise InterventionError(f"a position of layer {layer} comes twice, which would flip it back")
        if len(members):
            found.append((layer, members))
    return found


def mask_checksum(mask: ConceptMask) -> str:
    """sha256 over the layers, shapes and bits of one concept's mask, as hex; the other concepts have no part in it."""
    shapes = {layer: list(mask.shapes[layer]) for layer in sorted(mask.shapes)}
    digest = hashlib.sha256(json.dumps({"concept": mask.name, "shapes": shapes}, sort_keys=True).encode())
    for layer in shapes:
        digest.update(mask.bits[layer].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _bytes(layer: str, layers: Mapping[str, MaskedLinear], members: Tensor) -> tuple[Tensor, Tensor]:
    """Which bytes of a layer's packed mask change, and what each is to be xored with."""
    numbers, which = (members // 8).unique(return_inverse=True)
    values = torch.zeros(len(numbers), dtype=torch.long).index_add_(0, which, 1 << (7 - members % 8))
    device = layers[layer].bits.device
    return numbers.to(device), values.to(torch.uint8).to(device)
