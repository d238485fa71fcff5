"""The bits that a patch may flip: those whose flip moves the wanted readings most, to first order.

Flipping bit j changes its masked weight by w_j (1 - 2 m_j), and so the objective by

    gain_j = dv/d(w_j m_j) * w_j * (1 - 2 m_j)

(method, section 4, where v = -L). A patch drops as many bits as it grows, so the two kinds are ranked apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sparsecbm.intervene.patches.bits import Positions, concept_index, masked_layers
from sparsecbm.intervene.patches.factors import Factors
from sparsecbm.intervene.patches.protection import Protection
from sparsecbm.model.cbm import ConceptBottleneck

SCOPES = ("global", "layer")


def flip_gains(gradient: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """First-order change of a value when each bit is flipped alone; three tensors of one shape."""
    change = gradient * weight
    return torch.where(mask, -change, change)


@dataclass(frozen=True, eq=False)
class Pool:
    """Bits that may be flipped, those that may stand for each other side by side.

    Attributes:
        layers: names
        layer: number of each bit's layer, [bits]
        position: in the layer's flattened weight, [bits]
        change: of the masked weight by a flip, w (1 - 2 m), [bits]
        starts: where each segment starts, and the end, [2 * groups + 1]; segment 2g holds bits of group g that a
            flip drops, 2g + 1 those that it grows. Groups are layers, or there is one for all.
        effects: what each flip does to the log-odds of each protected text, times the root of the text's weight,
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
    def members(self) -> dict[str, np.ndarray]:
        """Numbers of the bits by layer."""
        found = {layer: np.flatnonzero(self.layer == number) for number, layer in enumerate(self.layers)}
        return {layer: bits for layer, bits in found.items() if len(bits)}

    def gains(self, factors: Mapping[str, Factors], weights: Tensor) -> np.ndarray:
        """What flipping each bit of the original mask adds to the weighted sum of the texts' values, [bits]."""
        found = np.zeros(len(self))
        for layer, bits in self.members.items():
            gradients = factors[layer].at(torch.from_numpy(self.position[bits]))
            found[bits] = (weights @ gradients.to(weights.dtype)).cpu().numpy()
        return found * self.change

    def positions(self, flipped: np.ndarray) -> Positions:
        """The bits that are chosen, [bits] bool, by layer."""
        chosen = {layer: self.position[bits[flipped[bits]]] for layer, bits in self.members.items()}
        return {layer: places for layer, places in chosen.items() if len(places)}


def make_pool(
    model: ConceptBottleneck,
    concept: str,
    factors: Mapping[str, Factors],
    weights: Tensor,
    layers: Sequence[str],
    size: int,
    scope: str,
    protection: Protection | None,
    flipped_positions: Positions,
) -> Pool:
    """Choose the bits of the largest gains.

    Args:
        factors: of the texts that are to be read otherwise, by layer
        weights: of these texts, [texts]
        layers: which layers' bits
        size: how many bits of each kind, dropped and grown
        scope: `global`, as many are dropped as grown in all layers together, or `layer`, in each of them
        untouchable: bits that stay as they are
    """
    place, modules = concept_index(model, concept), masked_layers(model)
    each = size if scope == "global" else -(-size // len(layers))
    found = []  # a row a bit: layer, position, change, gain, kind
    for number, layer in enumerate(layers):
        module = modules[layer]
        mask = module.mask(place)
        gains = flip_gains(factors[layer].gradient(weights), module.weight.detach().float(), mask)
        gains.view(-1)[torch.as_tensor(flipped_positions.get(layer, ()), dtype=torch.long)] = -torch.inf
        for kind, may in enumerate((mask, ~mask)):
            best, positions = _best(torch.where(may, gains, -torch.inf).view(-1), each)
            kept = best.isfinite()
            best, positions = best[kept], positions[kept]
            change = module.weight.detach().float().view(-1)[positions] * (1 if kind else -1)
            columns = [torch.full_like(best, number), positions, change, best, torch.full_like(best, kind)]
            found.append(torch.stack([column.double() for column in columns], dim=1))
    rows = torch.cat(found).cpu().numpy()
    if scope == "global":
        rows = np.concatenate([_first(rows[rows[:, 4] == kind], size) for kind in (0, 1)])
        segment = rows[:, 4].astype(int)
    else:
        segment = (2 * rows[:, 0] + rows[:, 4]).astype(int)
    order = np.argsort(segment, kind="stable")
    rows, groups = rows[order], 1 if scope == "global" else len(layers)
    starts = np.searchsorted(segment[order], np.arange(2 * groups + 1))
    number, position, change = rows[:, 0].astype(int), rows[:, 1].astype(int), rows[:, 2]
    effects = np.zeros((0, len(rows)), np.float32)
    if protection is not None:
        effects = _effects(protection, layers, number, position) * change.astype(np.float32)
    return Pool(tuple(layers), number, position, change, starts, effects)


def _best(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest values and their places."""
    return values.topk(min(count, len(values)), sorted=False)


def _first(rows: np.ndarray, count: int) -> np.ndarray:
    """The rows of the largest gains."""
    return rows[np.argsort(-rows[:, 3], kind="stable")[:count]]


def _effects(protection: Protection, layers: Sequence[str], number: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Gradients of the protected log-odds at the bits, times the roots of the texts' weights, [texts, bits]."""
    effects = np.zeros((len(protection.texts), len(number)), np.float32)
    roots = protection.weights.sqrt()[:, None]
    for which, layer in enumerate(layers):
        bits = np.flatnonzero(number == which)
        if len(bits):
            gradients = protection.gradients_at(layer, torch.from_numpy(position[bits]))
            effects[:, bits] = (gradients * roots).cpu().numpy()
    return effects
