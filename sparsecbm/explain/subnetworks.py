"""Where each concept's subnetwork lies, and what it shares with the others (method, section 3).

Density is the share of weights kept. Importance is the share of magnitude saliency kept: the sum of w^2 over a unit's
kept weights, divided by the sum over all its weights. It takes squares and not |w|, because a loss with the same
curvature in all directions grows by w^2 / 2 for each removed weight, so sums over units are meaningful (the saliency
w^2 / (2 [F^-1]) of `obert` with F = I, summed as in arXiv 1906.10771). A saved model does not contain the saliencies of
its training. A unit whose importance exceeds its density keeps its large weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from sparsecbm.base.errors import ModelError
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import block_number, find_blocks, prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.overlap import Overlap, compute_overlap
from sparsecbm.model.units import Units, find_units

MODULES = ("query", "key", "value", "output", "ffn in", "ffn out")
TOP = 5  # neurons of a block that the plain form names


@dataclass(frozen=True)
class Region:
    """The subnetworks in one layer (a linear map) or one block.

    Attributes:
        weights: number of weights in masked layers
        density: concept -> share of them kept
        shared: overlap of the concepts' masks
    """

    weights: int
    density: dict[str, float]
    shared: Overlap

    def to_dict(self) -> dict:
        """Plain form for JSON; a pair is found by its first concept, then its second."""
        pairs: dict[str, dict[str, dict[str, float]]] = {}
        for (first, second), pair in self.shared.pairs.items():
            overlap = {"jaccard": pair.jaccard, "chance": pair.chance, "excess": pair.excess}
            pairs.setdefault(first, {})[second] = overlap
        return {
            "weights": self.weights,
            "density": self.density,
            "core": self.shared.core,
            "exclusive": self.shared.exclusive,
            "pairs": pairs,
        }


@dataclass(frozen=True, eq=False)
class UnitShares:
    """What one concept keeps of the heads or the neurons of one block.

    Attributes:
        density: [units], share of a unit's weights kept
        exclusive: [units], share of its weights that only this concept keeps
        importance: [units], share of its saliency kept; nan if all its weights are 0
    """

    density: np.ndarray
    exclusive: np.ndarray
    importance: np.ndarray


@dataclass(frozen=True, eq=False)
class Subnetworks:
    """The subnetworks of all concepts.

    Modules, heads and neurons are empty if the units of the backbone's family are not known (DeBERTa). Only weights in
    masked layers count.

    Attributes:
        whole: all masked layers
        layers: by the name of the linear map in the backbone
        blocks: by number
        modules: query | key | value | output | ffn in | ffn out -> concept -> density
        heads, neurons: concept -> number of the block -> its units
    """

    whole: Region
    layers: dict[str, Region]
    blocks: dict[int, Region]
    modules: dict[str, dict[str, float]]
    heads: dict[str, dict[int, UnitShares]]
    neurons: dict[str, dict[int, UnitShares]]

    def to_dict(self) -> dict:
        """Plain form for JSON, with a summary of the neurons of each block."""
        return {
            "whole": self.whole.to_dict(),
            "layers": {layer: region.to_dict() for layer, region in self.layers.items()},
            "blocks": {str(number): region.to_dict() for number, region in self.blocks.items()},
            "modules": self.modules,
            "heads": {
                name: {str(block): _heads_plain(shares) for block, shares in by_block.items()}
                for name, by_block in self.heads.items()
            },
            "neurons": {
                name: {str(block): _neurons_plain(shares) for block, shares in by_block.items()}
                for name, by_block in self.neurons.items()
            },
        }


def describe_subnetworks(model: ConceptBottleneck) -> Subnetworks:
    """Describe the subnetworks of a masked model.

    Raises:
        ModelError: the model has no masks.
    """
    density, shared = model.density(), model.overlap()
    masks = model.masks
    layers_by_block: dict[int, list[str]] = {}
    prefix, _ = find_blocks(model.backbone)
    for layer in masks.shapes:
        layers_by_block.setdefault(block_number(layer, prefix), []).append(layer)
    groups = _groups(model, masks)
    magnitudes = {layer: module.weight.detach().square() for layer, module in prunable_layers(model.backbone).items()}
    modules: dict[str, dict[str, float]] = {}
    shares: dict[str, dict[str, dict[int, UnitShares]]] = {"head": {}, "neuron": {}}
    for mask in masks:
        kept, exclusive = dict(mask), dict(masks.exclusive(mask.name))
        for module, share in _modules(groups, kept).items():
            modules.setdefault(module, {})[mask.name] = share
        for group, _ in groups:
            shares[group.kind].setdefault(mask.name, {})[group.block] = _shares(group, kept, exclusive, magnitudes)
    return Subnetworks(
        whole=Region(masks.size, density, shared),
        layers={layer: _region(masks, [layer]) for layer in masks.shapes},
        blocks={number: _region(masks, layers) for number, layers in layers_by_block.items()},
        modules=modules,
        heads=shares["head"],
        neurons=shares["neuron"],
    )


def _region(masks: MaskSet, layers: Sequence[str]) -> Region:
    part = MaskSet(masks.concepts, {n: masks.shapes[n] for n in layers}, {n: masks.bits[n] for n in layers})
    return Region(part.size, part.density(), compute_overlap(part))


def _groups(model: ConceptBottleneck, masks: MaskSet) -> list[tuple[Units, tuple[str, ...]]]:
    """Heads and neurons of each block with their masked parts, and the module of each part."""
    try:
        groups = find_units(model.backbone)
    except ModelError:
        return []
    masked = []
    for group in groups:
        # There may be two maps before the neurons: a gate and the values that it lets through.
        names = MODULES[:4] if group.kind == "head" else ("ffn in",) * (len(group.parts) - 1) + ("ffn out",)
        pairs = [(part, name) for part, name in zip(group.parts, names, strict=True) if part.layer in masks.shapes]
        if pairs:
            parts, names = zip(*pairs, strict=True)
            masked.append((replace(group, parts=parts), names))
    return masked


def _modules(groups: list[tuple[Units, tuple[str, ...]]], kept: dict[str, Tensor]) -> dict[str, float]:
    """Density of each module over all blocks."""
    ones, sizes = dict.fromkeys(MODULES, 0), dict.fromkeys(MODULES, 0)
    for group, names in groups:
        for part, name in zip(group.parts, names, strict=True):
            values = part.split(kept[part.layer], group.count)
            ones[name] += int(values.sum())
            sizes[name] += values.numel()
    return {name: ones[name] / size for name, size in sizes.items() if size}


def _shares(
    group: Units, kept: dict[str, Tensor], exclusive: dict[str, Tensor], magnitudes: dict[str, Tensor]
) -> UnitShares:
    size = group.weights(kept)
    saliency = group.sums({layer: kept[layer] * magnitudes[layer] for layer in group.layers})
    shares = (group.sums(kept) / size, group.sums(exclusive) / size, saliency / group.sums(magnitudes))
    return UnitShares(*(share.cpu().numpy() for share in shares))


def _heads_plain(shares: UnitShares) -> dict:
    return {
        "density": shares.density.tolist(),
        "exclusive": shares.exclusive.tolist(),
        "importance": [_number(value) for value in shares.importance],
    }


def _neurons_plain(shares: UnitShares) -> dict:
    order = np.argsort(-np.nan_to_num(shares.importance, nan=-1), kind="stable")[:TOP]
    return {
        "units": len(shares.density),
        "dropped": float((shares.density == 0).mean()),
        "density": float(shares.density.mean()),
        "exclusive": float(shares.exclusive.mean()),
        "highest": [{"neuron": int(i), "importance": _number(shares.importance[i])} for i in order],
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
