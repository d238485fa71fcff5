"""Masks that differ: a core that all concepts share, and a budget of each concept's own, chosen by contrast.

Without contrast, the masks of all concepts are nearly the same, since weights that matter to one matter to all.
"""

from collections.abc import Mapping
from functools import reduce

import torch
from torch import Tensor

from sparsecbm.pruning.select import prune_to


def choose_contrasting_masks(
    scores: Mapping[str, Mapping[str, Tensor]],
    masks: Mapping[str, Mapping[str, Tensor]],
    sparsity: float,
    core: float,
    scope: str = "layer",
    regrow: bool = False,
) -> dict[str, dict[str, Tensor]]:
    """Choose the masks of all concepts together.

    Scores become ranks within each layer, so that concepts and layers are comparable. The core holds the weights with
    the highest mean rank. From the remaining weights, concept k takes those with the highest r_k - mean of the other
    r_i.

    Args:
        scores: concept -> layer -> scores; the largest stay
        masks: concept -> layer -> boolean tensor of the same shape, True where a weight is in use now
        sparsity: share of weights that each concept drops, in [0, 1)
        core: share of each concept's weights that all concepts have in common, in [0, 1)
        scope, regrow: as in `prune_to`

    Returns:
        concept -> layer -> mask, each of exactly the sparsity

    Raises:
        ConfigError, PruningError: as `prune_to`.
    """
    names = list(scores)
    ranks = {name: {layer: rank_scores(values) for layer, values in scores[name].items()} for name in names}
    layers = list(scores[names[0]])
    mean = {layer: reduce(torch.add, [ranks[name][layer] for name in names]) / len(names) for layer in layers}
    common = {layer: torch.stack([masks[name][layer] for name in names]).all(0) for layer in layers}
    core_masks = prune_to(mean, common, 1 - core * (1 - sparsity), scope, regrow) if core else None
    chosen = {}
    for name in names:
        contrast = {}
        for layer in layers:
            mean_of_others = (len(names) * mean[layer] - ranks[name][layer]) / max(1, len(names) - 1)
            contrast[layer] = ranks[name][layer] - mean_of_others
            if core_masks is not None:  # the core is above every difference of ranks
                contrast[layer] = contrast[layer].masked_fill(core_masks[layer], 2.0)
        chosen[name] = prune_to(contrast, masks[name], sparsity, scope, regrow)
    return chosen


def rank_scores(scores: Tensor) -> Tensor:
    """Ranks from 0 (lowest) to 1 (highest), in the scores' shape. Scores that are equal in float32 rank by position.

    Score and position are packed into one integer each, which makes a plain sort stable. numpy's plain sort takes a
    sixth of the time of a stable argsort.
    """
    flat = scores.reshape(-1).cpu().float() + 0.0  # turns -0 into 0
    bits = flat.view(torch.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers in the order of the numbers
    keys = ((ordered.long() << 32) | torch.arange(len(flat))).numpy()
    keys.sort()
    ranks = torch.empty(len(flat))
    ranks[torch.from_numpy(keys & 0xFFFFFFFF)] = torch.linspace(0, 1, len(flat))
    return ranks.to(scores.device).view(scores.shape)
