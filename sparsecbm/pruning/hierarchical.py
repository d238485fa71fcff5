"""Masks of two levels: heads and neurons that all concepts keep, and each concept's own weights inside them.

Whole units alone do not differ by concept: a block has few of them, and what lower blocks have written passes by.
Single weights do differ, but no processor saves time on them. With both, the blocks become smaller for all concepts,
and contrast chooses inside.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from sparsecbm.model.units import Units
from sparsecbm.pruning.contrast import rank_scores


def common_units(
    units: Sequence[Units],
    scores: Mapping[str, Mapping[str, Tensor]],
    sparsity: float,
    null_concepts: Collection[str] = (),
) -> dict[str, Tensor]:
    """Masks of the heads and neurons that matter most to all concepts together.

    Both levels drop alike: of the units of each kind and block, sqrt(1 - sparsity) stay, so a concept keeps the same
    share of the weights inside. A unit counts by the sum of its weights' ranks within their layers, over all concepts.

    Args:
        units: of the masked layers
        scores: concept -> layer -> finite scores; the largest stay
        sparsity: share of all weights that each concept drops, in [0, 1)
        null_concepts: names of the concepts that mean nothing; they have no say

    Returns:
        layer -> boolean tensor of the weight's shape
    """
    real = [of_layer for name, of_layer in scores.items() if name not in null_concepts]
    masks: dict[str, Tensor] = {}
    for group in units:  # the ranks of few layers are in memory at once
        ranks: dict[str, Tensor] = {
            layer: reduce(torch.add, [rank_scores(each[layer]) for each in real]) for layer in group.layers
        }
        # Rounded up, so that the weights inside are enough.
        count = min(group.count, int((1 - sparsity) ** 0.5 * group.count + 1 - 1e-9))
        kept = torch.zeros(group.count, dtype=torch.bool)
        kept[group.sums(ranks).argsort(descending=True, stable=True)[:count]] = True
        masks |= group.masks(kept, {layer: values.shape for layer, values in ranks.items()})
    return masks
