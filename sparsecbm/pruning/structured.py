"""Selection of whole attention heads and FFN neurons, so that a concept's subnetwork is a smaller dense model.

The cost of losing a unit is the sum of its weights' saliencies (Molchanov et al., arXiv 1906.10771: the importance of a
group is the sum over its members). The budget counts weights, and a head has many times the weights of a neuron. So
units go in the order of their cost per weight: the sum divided by the number of the unit's weights. This is the greedy
rule of the knapsack problem, where items of different size share one budget (Dantzig, Operations Research 5, 1957; for
pruning Shen et al., arXiv 2210.06659).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsecbm.base.errors import ConfigError, PruningError, unknown
from sparsecbm.model.units import Units, select_pruned_units
from sparsecbm.pruning.select import SCOPES


@dataclass(frozen=True)
class Selection:
    """Masks of whole units.

    Attributes:
        masks: layer -> boolean tensor of the weight's shape
        sparsity: share of weights that are dropped; it can differ from the target
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
    """Drop the units with the least saliency per weight until the given share of weights is gone.

    One head and one neuron of every block stay. Without a head, no information passes between the tokens of the block;
    without a neuron, its feed-forward part is a constant. transformers cannot run an attention without heads either.

    The target is rounded to whole units. Units are dropped in order while they fit into the rest of the target; larger
    ones are skipped. At the end, the first of the smallest skipped units is dropped too, if this is closer to the
    target; the best smaller units that were dropped come back in exchange. So the target is missed by at most half a
    neuron, in each block or, with `global`, over all blocks. If no neuron can be exchanged, it is at most half a head.

    Args:
        units: of the model (`units_of`); units of layers without saliencies stay as they are
        saliency: layer -> one value for each weight, in the weight's shape
        sparsity: target share of dropped weights, in [0, 1)
        scope: `layer`: every block reaches the target; `global`: all blocks together do
        before: earlier masks; a unit that they drop stays dropped, even if this exceeds the target

    Raises:
        ConfigError: `sparsity` or `scope` is out of range, the layers are not those of whole units, or the target
            needs the last head or neuron of a block.
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
    for budget_blocks in [[block] for block in blocks] if scope == "layer" else [blocks]:
        _drop([group for group in units if group.block in budget_blocks], saliency, sparsity, kept)
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
    already = sum(size[group] * (group.count - left[group]) for group in units)
    most = sum(size[group] * (group.count - 1) for group in units)
    room = round(sparsity * total) - already
    if already + room > most:
        numbers = ", ".join(str(number) for number in sorted({group.block for group in units}))
        raise ConfigError(
            f"a sparsity of {sparsity:g} would leave a block without a head or a neuron; "
            f"whole units of block {numbers} allow at most {most / total:.4f}"
        )
    dropped: list[tuple[Units, int]] = []
    skipped: tuple[Units, int] | None = None  # the first of the smallest units that did not fit
    for group, unit in _ascending(units, saliency, size, kept):
        if left[group] == 1:
            continue
        if size[group] <= room:
            dropped.append((group, unit))
            left[group] -= 1
            room -= size[group]
        elif skipped is None or size[group] < size[skipped[0]]:
            skipped = group, unit
    if skipped is not None:
        excess, returned = size[skipped[0]] - room, []
        for group, unit in reversed(dropped):
            if size[group] < size[skipped[0]] and 2 * excess >= size[group]:
                returned.append((group, unit))
                excess -= size[group]
        if abs(excess) < room:
            dropped = [pair for pair in dropped if pair not in returned] + [skipped]
    for group, unit in dropped:
        kept[group][unit] = False


def _ascending(
    units: Sequence[Units], saliency: Mapping[str, Tensor], size: Mapping[Units, int], kept: Mapping[Units, Tensor]
) -> list[tuple[Units, int]]:
    """The kept units by saliency per weight; ties are ordered by block, kind and number."""
    ranked = []
    for group_index, group in enumerate(units):
        scores = group.sums(saliency).cpu() / size[group]
        if scores.isnan().any():
            layer = next(layer for layer in group.layers if saliency[layer].isnan().any())
            raise PruningError(f"layer {layer}: scores hold NaN; check its weights and gradients")
        ranked += [(score, group_index, unit) for unit, score in enumerate(scores.tolist()) if kept[group][unit]]
    return [(units[group_index], unit) for _, group_index, unit in sorted(ranked)]
