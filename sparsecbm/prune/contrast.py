"""Masks that differ: a core that all concepts share, and a budget of each one's own, chosen by contrast.

Without it the masks of all concepts are nearly the same, since weights that matter to one matter to all.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from sparsecbm.prune.select import prune_to


def choose_contrasting_masks(
    scores: Mapping[str, Mapping[str, Tensor]],
    masks: Mapping[str, Mapping[str, Tensor]],
    sparsity: float,
    core: float,
    scope: str = "layer",
    regrow: bool = False,
) -> dict[str, dict[str, Tensor]]:
    """Choose the masks of all concepts together.

    Scores become ranks within each layer, so that concepts and layers compare. The core holds the weights of the
    highest mean rank. Of what is left, concept k takes those of the highest r_k - mean of the other r_i.

    Args:
        scores: concept -> layer -> scores, larger stays
        masks: concept -> layer -> boolean tensor of the same shape, True where a weight is in use now
        sparsity: share of weights that each concept drops, in [0, 1)
        core: share of each concept's weights that is common to all, in [0, 1)
        scope, regrow: as in `prune_to`

    Returns:
        concept -> layer -> mask, each of exactly the sparsity

    Raises:
        ConfigError, PruningError: as `prune_to`.
    """
    names = list(scores)
    ranked = {name: {layer: rank_scores(values) for layer, values in scores[name].items()} for name in names}
    layers = list(scores[names[0]])
    mean = {layer: sum(ranked[name][layer] for name in names) / len(names) for layer in layers}
    common = {layer: torch.stack([masks[name][layer] for name in names]).all(0) for layer in layers}
    shared = prune_to(mean, common, 1 - core * (1 - sparsity), scope, regrow) if core else None
    chosen = {}
    for name in names:
        own = {}
        for layer in layers:
            others = (len(names) * mean[layer] - ranked[name][layer]) / max(1, len(names) - 1)
            own[layer] = ranked[name][layer] - others
            if shared is not None:
                own[layer] = own[layer].masked_fill(shared[layer], 2.0)  # above every difference of ranks
        chosen[name] = prune_to(own, masks[name], sparsity, scope, regrow)
    return chosen


def rank_scores(scores: Tensor) -> Tensor:
    """Ranks from 0 (lowest) to 1 (highest), in the scores' shape; scores that are equal in float32 rank by position.

    Score and position are packed into one integer each, so that a plain sort is a stable one: numpy's takes a sixth of
    the time of a stable argsort.
    """
    flat = scores.reshape(-1).cpu().float() + 0.0  # no minus zero
    bits = flat.view(torch.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers in the order of the numbers
    keys = ((ordered.long() << 32) | torch.arange(len(flat))).numpy()
    keys.sort()
    found = torch.empty(len(flat))
    found[torch.from_numpy(keys & 0xFFFFFFFF)] = torch.linspace(0, 1, len(flat))
    return found.to(scores.device).view(scores.shape)
