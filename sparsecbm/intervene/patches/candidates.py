"""The bits that a patch may flip: those whose flips move the target predictions most, to first order.

Flipping bit j changes its masked weight by w_j (1 - 2 m_j), and so the objective by

    gain_j = dv/d(w_j m_j) * w_j * (1 - 2 m_j)

(method, section 4, where v = -L). A patch drops as many bits as it grows, so the two kinds are ranked separately.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sparsecbm.base.progress import progress
from sparsecbm.intervene.patches.bits import Positions, concept_index, require_masked_layers
from sparsecbm.intervene.patches.factors import Factors
from sparsecbm.intervene.patches.protection import Protection
from sparsecbm.model.cbm import ConceptBottleneck


def flip_gains(gradient: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """Return the first-order change of a value when each bit is flipped alone; all three tensors have one shape."""
    change = gradient * weight
    return torch.where(mask, -change, change)


@dataclass(frozen=True)
class CandidateOptions:
    """Where candidates come from.

    Attributes:
        layers: names of the layers whose bits may be flipped
        size: candidates of each kind, dropped and grown
        scope: `global`, as many bits are dropped as grown in all layers together, or `layer`, in each of them
        excluded: bits that stay as they are
    """

    layers: tuple[str, ...]
    size: int
    scope: str = "global"
    excluded: Positions = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Bits that may be flipped; those that can replace each other are adjacent.

    Attributes:
        layers: names
        layer: index of each bit's layer, [bits]
        position: in the layer's flattened weight, [bits]
        change: of the masked weight by a flip, w (1 - 2 m), [bits]
        starts: start of each segment, and the end, [2 * groups + 1]. Segment 2g holds the bits of group g that a flip
            drops, 2g + 1 those that it grows. Each layer is a group, or all layers are one
        effects: of each flip on the log-odds of each protected text, times the root of the text's weight,
            [texts, bits]; no rows without protection
    """

    layers: tuple[str, ...]
    layer: np.ndarray
    position: np.ndarray
    change: np.ndarray
    starts: np.ndarray
    effects: np.ndarray

    def __len__(self) -> int:
        return len(self.layer)

    @cached_property
    def bits_by_layer(self) -> dict[str, np.ndarray]:
        """Indices of the bits by layer."""
        bits = {layer: np.flatnonzero(self.layer == index) for index, layer in enumerate(self.layers)}
        return {layer: indices for layer, indices in bits.items() if len(indices)}

    def gains(self, factors: Mapping[str, Factors], weights: Tensor) -> np.ndarray:
        """Return what flipping each bit of the original mask adds to the weighted sum of the texts' values, [bits]."""
        slopes = np.zeros(len(self))
        for layer, bits in self.bits_by_layer.items():
            gradients = factors[layer].at(torch.from_numpy(self.position[bits]))
            slopes[bits] = (weights @ gradients.to(weights.dtype)).cpu().numpy()
        return slopes * self.change

    def positions(self, flipped: np.ndarray) -> Positions:
        """Return the positions by layer of the bits that are flipped, [bits], bool."""
        by_layer = {layer: self.position[bits[flipped[bits]]] for layer, bits in self.bits_by_layer.items()}
        return {layer: positions for layer, positions in by_layer.items() if len(positions)}


def select_candidates(
    model: ConceptBottleneck,
    concept: str,
    factors: Mapping[str, Factors],
    weights: Tensor,
    options: CandidateOptions,
    protection: Protection | None = None,
) -> Candidates:
    """Select the bits of the largest gains.

    Args:
        factors: of the texts whose prediction is to change, by layer
        weights: of these texts, [texts]
    """
    index, modules, layers = concept_index(model, concept), require_masked_layers(model), options.layers
    is_global = options.scope == "global"
    count = options.size if is_global else -(-options.size // len(layers))
    parts = []  # a row a bit: layer, position, change, gain, kind
    for number, layer in enumerate(layers):
        module = modules[layer]
        mask, weight = module.mask(index), module.weight.detach().float()
        gains = flip_gains(factors[layer].gradient(weights), weight, mask)
        gains.view(-1)[torch.as_tensor(options.excluded.get(layer, ()), dtype=torch.long)] = -torch.inf
        for kind, eligible in enumerate((mask, ~mask)):
            best, positions = _largest(torch.where(eligible, gains, -torch.inf).view(-1), count)
            finite = best.isfinite()
            best, positions = best[finite], positions[finite]
            change = weight.view(-1)[positions] * (1 if kind else -1)
            columns = [torch.full_like(best, number), positions, change, best, torch.full_like(best, kind)]
            parts.append(torch.stack([column.double() for column in columns], dim=1))
    rows = torch.cat(parts).cpu().numpy()
    if is_global:
        rows = np.concatenate([_largest_gains(rows[rows[:, 4] == kind], options.size) for kind in (0, 1)])
        segment = rows[:, 4].astype(int)
    else:
        segment = (2 * rows[:, 0] + rows[:, 4]).astype(int)
    order = np.argsort(segment, kind="stable")
    rows, groups = rows[order], 1 if is_global else len(layers)
    starts = np.searchsorted(segment[order], np.arange(2 * groups + 1))
    layer_index, position, change = rows[:, 0].astype(int), rows[:, 1].astype(int), rows[:, 2]
    effects = np.zeros((0, len(rows)), np.float32)
    if protection is not None:
        effects = _weighted_gradients(protection, layers, layer_index, position) * change.astype(np.float32)
    return Candidates(layers, layer_index, position, change, starts, effects)


def _largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest values and their indices."""
    return values.topk(min(count, len(values)), sorted=False)


def _largest_gains(rows: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of the largest gains."""
    return rows[np.argsort(-rows[:, 3], kind="stable")[:count]]


def _weighted_gradients(
    protection: Protection, layers: tuple[str, ...], layer_index: np.ndarray, position: np.ndarray
) -> np.ndarray:
    """Return gradients of the protected log-odds at the bits, times the roots of the texts' weights, [texts, bits]."""
    weighted = np.zeros((len(protection.texts), len(layer_index)), np.float32)
    roots = protection.weights.sqrt()[:, None]
    for number, layer in enumerate(progress(layers, "weigh bits", "layer")):
        bits = np.flatnonzero(layer_index == number)
        if len(bits):
            gradients = protection.gradients_at(layer, torch.from_numpy(position[bits]))
            weighted[:, bits] = (gradients * roots).cpu().numpy()
    return weighted
