"""Matched random control: masks with the densities, overlaps and pattern of chosen ones, over different weights."""

import zlib
from collections.abc import Collection, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import masked_layers
from sparsecbm.model.masks import MaskSet, pack, unpack
from sparsecbm.model.units import Units, find_units, select_pruned_units


def matched_random_of(model: ConceptBottleneck, masks: MaskSet, granularity: str, seed: int) -> MaskSet:
    """Random masks that match a mask set in every count and keep its pattern.

    Args:
        model: a masked model whose layers the masks fit
        granularity: of the masks: unstructured | structured | hierarchical | N:M
        seed: of the shuffle
    """
    if granularity == "structured":
        return matched_random_units(masks, select_pruned_units(find_units(model.backbone), masks.shapes), seed)
    if granularity == "hierarchical":
        return matched_random_inside(masks, select_pruned_units(find_units(model.backbone), masks.shapes), seed)
    if ":" in granularity:
        transposed = {layer for layer, module in masked_layers(model.backbone).items() if module.input_first}
        return matched_random_groups(masks, int(granularity.split(":")[1]), transposed, seed)
    return matched_random(masks, seed)


def matched_random(masks: MaskSet, seed: int) -> MaskSet:
    """Random masks that match a mask set in every count.

    The weights of a layer are shuffled, with one shuffle for all concepts. Each layer keeps its density for each
    concept, its number of core and of exclusive weights, and the overlap of every pair and larger group of concepts.
    Only the choice of weights is random. The overlap must match: the more masks differ, the more the heads and weights
    trained under them differ, so a control with less overlap would have larger gaps for that reason alone.

    This is the control for masks that are chosen weight by weight. The shuffle destroys patterns, which
    `matched_random_units`, `matched_random_inside` and `matched_random_groups` keep.

    Args:
        seed: decides the shuffle of a layer together with the layer's name, whatever other layers there are
    """
    bits = {}
    for layer, rows in masks.bits.items():
        size = prod(masks.shapes[layer])
        order = _permutation(size, layer, seed)
        shuffled = [pack(unpack(row.cpu(), (size,))[order]) for row in rows]
        bits[layer] = torch.stack(shuffled).to(rows.device)
    return MaskSet(masks.concepts, masks.shapes, bits)


def matched_random_units(masks: MaskSet, units: Sequence[Units], seed: int) -> MaskSet:
    """As `matched_random`, for masks of whole heads and neurons: those of a block are shuffled.

    Args:
        units: all units of the masked layers
        seed: decides the shuffle of a block's heads, or neurons, together with their layers' names

    Raises:
        ModelError: a mask cuts through a unit.
    """
    shuffled: dict[str, dict[str, Tensor]] = {name: {} for name in masks.concepts}
    for group in units:
        order = _permutation(group.count, " ".join(group.layers), seed)
        for mask in masks:
            kept = group.kept({layer: mask[layer].cpu() for layer in group.layers})
            shuffled[mask.name] |= group.masks(kept[order], masks.shapes)
    return MaskSet.from_masks({name: {layer: rows[layer] for layer in masks.shapes} for name, rows in shuffled.items()})


def matched_random_inside(masks: MaskSet, units: Sequence[Units], seed: int) -> MaskSet:
    """As `matched_random`, for weights inside common units: units of a block are drawn, and weights inside them.

    Args:
        units: all units of the masked layers
        seed: decides the shuffle of a layer's weights, and of a block's units, together with their names
    """
    union = {layer: torch.stack([mask[layer].cpu() for mask in masks]).any(0) for layer in masks.shapes}
    before: dict[str, Tensor] = {}
    after: dict[str, Tensor] = {}
    for group in units:
        used = group.used(union)
        order = _permutation(group.count, " ".join(group.layers), seed)
        before |= group.masks(used, masks.shapes)
        after |= group.masks(used[order], masks.shapes)
    shuffled: dict[str, dict[str, Tensor]] = {name: {} for name in masks.concepts}
    for layer, shape in masks.shapes.items():
        order = _permutation(int(before[layer].sum()), layer, seed)
        for mask in masks:
            moved = torch.zeros(tuple(shape), dtype=torch.bool)
            moved[after[layer]] = mask[layer].cpu()[before[layer]][order]
            shuffled[mask.name][layer] = moved
    return MaskSet.from_masks(shuffled)


def matched_random_groups(masks: MaskSet, size: int, transposed: Collection[str], seed: int) -> MaskSet:
    """As `matched_random`, for patterns such as 2:4: groups of weights are shuffled, and the weights within a group.

    Args:
        size: number of consecutive inputs that are a group; it divides the inputs of every layer
        transposed: layers whose weights are [in, out] instead of [out, in]
        seed: decides the shuffle of a layer together with the layer's name
    """
    shuffled: dict[str, dict[str, Tensor]] = {name: {} for name in masks.concepts}
    for layer, shape in masks.shapes.items():
        draw = _generator(layer, seed)
        groups = torch.from_numpy(draw.permutation(prod(shape) // size))
        within = torch.from_numpy(draw.random((len(groups), size)).argsort(1))
        for mask in masks:
            kept = mask[layer].cpu().T if layer in transposed else mask[layer].cpu()
            moved = kept.reshape(-1, size)[groups].gather(1, within).view(kept.shape)
            shuffled[mask.name][layer] = moved.T if layer in transposed else moved
    return MaskSet.from_masks(shuffled)


def _permutation(size: int, name: str, seed: int) -> Tensor:
    """A random order of `size` things, which a name and a seed determine."""
    return torch.from_numpy(_generator(name, seed).permutation(size))


def _generator(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
