"""Selection of whole attention heads and FFN neurons, so that a concept's subnetwork is a smaller dense model.

What it costs to lose a unit is estimated by the sum of its weights' saliencies (Molchanov et al., arXiv 1906.10771:
a group's importance as the sum over its members). The budget counts weights, and a head has many times the weights of
a neuron; so what goes first is what costs least a weight: the sum divided by the number of the unit's weights. That is
the greedy rule of the knapsack in which things of unlike size share one budget (Dantzig, Operations Research 5, 1957;
for pruning Shen et al., arXiv 2210.06659).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsecbm.base.errors import ConfigError, PruningError, unknown
from sparsecbm.model.units import Units, select_pruned_units
from sparsecbm.prune.select import SCOPES


@dataclass(frozen=True)
class Selection:
    """Masks of whole units.

    Attributes:
        masks: layer -> boolean tensor of the weight's shape
        sparsity: share of weights dropped, as reached
        kept: (kind, block) -> units kept
    """

    masks: dict[str, Tensor]
    sparsity: float
    kept: dict[tuple[str, int], int]


def select_units(
    units: Sequence[Units],
    saliency: Mapping[str, Tensor],
    sparsity: float,
    scope: str = "layer",
    before: Mapping[str, Tensor] | None = None,
) -> Selection:
    """Drop the units of least saliency a weight until the given share of weights is gone.

    One head and one neuron of every block stay. Without a head no token of the block learns of another, without a
    neuron its feed-forward part is a constant, and transformers cannot run an attention of no heads at all.

    The target is rounded to whole units. Units go in order as long as they fit into what is left of the target; larger
    ones are passed over. At the end the first of the smallest that were passed over goes too, and of what went before
    the best smaller ones come back in exchange, if that is nearer to the target. So the target is missed by half a
    neuron at most, in each block or, with `global`, in all; by half a head where no neuron is left to go or come back.

    Args:
        units: of the model (`find_units`); those of layers without saliencies are left alone
        saliency: layer -> one value a weight, in the weight's shape
        sparsity: target share of weights dropped, in [0, 1)
        scope: `layer`: every block reaches the target; `global`: all blocks together do
        before: masks so far; a unit that they drop stays dropped, even where that is more than the target

    Raises:
        ConfigError: `sparsity` or `scope` is out of range, the layers are not those of whole units, or so many
            weights cannot go without the last head or neuron of a block.
        PruningError: a saliency is NaN.
        ModelError: `before` cuts through a unit.
    """
    if not 0 <= sparsity < 1:
        raise ConfigError(f"sparsity is in [0, 1), not {sparsity}")
    if scope not in SCOPES:
        raise ConfigError(unknown("threshold", scope, SCOPES))
    units = select_pruned_units(units, saliency)
    kept = {group: torch.ones(group.count).bool() if before is None else group.kept(before).cpu() for group in units}
    blocks = sorted({group.block for group in units})
    for members in [[block] for block in blocks] if scope == "layer" else [blocks]:
        _drop([group for group in units if group.block in members], saliency, sparsity, kept)
    shapes = {layer: values.shape for layer, values in saliency.items()}
    masks = {layer: mask for group in units for layer, mask in group.masks(kept[group], shapes).items()}
    dropped = sum(int((~mask).sum()) for mask in masks.values())
    return Selection(
        {layer: masks[layer] for layer in saliency},
        dropped / sum(mask.numel() for mask in masks.values()),
        {(group.kind, group.block): int(kept[group].sum()) for group in units},
    )


def _drop(units: Sequence[Units], saliency: Mapping[str, Tensor], sparsity: float, kept: dict[Units, Tensor]) -> None:
    """Drop units that share one budget, in place."""
    size = {group: group.weights(saliency) for group in units}
    left = {group: int(kept[group].sum()) for group in units}
    total = sum(size[group] * group.count for group in units)
    gone = sum(size[group] * (group.count - left[group]) for group in units)
    most = sum(size[group] * (group.count - 1) for group in units)
    room = round(sparsity * total) - gone
    if gone + room > most:
        numbers = ", ".join(str(number) for number in sorted({group.block for group in units}))
        raise ConfigError(
            f"a sparsity of {sparsity:g} would leave a block without a head or a neuron; "
            f"whole units of block {numbers} allow at most {most / total:.4f}"
        )
    dropped, passed = [], None  # passed: the first of the smallest units that did not fit
    for group, unit in _ascending(units, saliency, size, kept):
        if left[group] == 1:
            continue
        if size[group] <= room:
            dropped.append((group, unit))
            left[group] -= 1
            room -= size[group]
        elif passed is None or size[group] < size[passed[0]]:
            passed = group, unit
    if passed is not None:
        over, back = size[passed[0]] - room, []
        for group, unit in reversed(dropped):
            if size[group] < size[passed[0]] and 2 * over >= size[group]:
                back.append((group, unit))
                over -= size[group]
        if abs(over) < room:
            dropped = [pair for pair in dropped if pair not in back] + [passed]
    for group, unit in dropped:
        kept[group][unit] = False


def _ascending(
    units: Sequence[Units], saliency: Mapping[str, Tensor], size: Mapping[Units, int], kept: Mapping[Units, Tensor]
) -> list[tuple[Units, int]]:
    """Units still kept, by saliency a weight; ties go by block, kind and number."""
    ranked = []
    for place, group in enumerate(units):
        scores = group.sums(saliency).cpu() / size[group]
        if scores.isnan().any():
            layer = next(layer for layer in group.layers if saliency[layer].isnan().any())
            raise PruningError(f"layer {layer}: scores hold NaN; look at its weights and gradients")
        ranked += [(score, place, unit) for unit, score in enumerate(scores.tolist()) if kept[group][unit]]
    return [(units[place], unit) for _, place, unit in sorted(ranked)]
