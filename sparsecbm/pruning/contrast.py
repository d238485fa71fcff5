"""Masks that differ: a core that all concepts share, and a budget of each concept's own, chosen by contrast.

Without contrast, the masks of all concepts are nearly the same, since weights that matter to one matter to all.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from sparsecbm.pruning.select import check_scores, prune_to


@dataclass(frozen=True)
class Contrast:
    """How masks are made to differ.

    Attributes:
        core: share of each concept's weights that all concepts have in common, in [0, 1)
        null_concepts: names of the concepts that mean nothing
    """

    core: float
    null_concepts: Collection[str] = ()


def choose_contrasting_masks(
    scores: Mapping[str, Mapping[str, Tensor]],
    masks: Mapping[str, Mapping[str, Tensor]],
    sparsity: float,
    contrast: Contrast,
    scope: str = "layer",
    regrow: bool = False,
) -> dict[str, dict[str, Tensor]]:
    """Choose the masks of all concepts together.

    Scores become ranks within each layer, so that concepts and layers are comparable. The core holds the weights with
    the highest mean rank. From the remaining weights, concept k takes those with the highest r_k - mean of the other
    r_i. Means are over real concepts: null concepts are contrasted with these, and change no mask but their own.

    Args:
        scores: concept -> layer -> scores; the largest stay
        masks: concept -> layer -> boolean tensor of the same shape, True where a weight is in use now
        sparsity: share of weights that each concept drops, in [0, 1)
        contrast: how many weights are common, and which concepts are contrasted
        scope, regrow: as in `prune_to`

    Returns:
        concept -> layer -> mask, each of exactly the sparsity

    Raises:
        ConfigError, PruningError: as `prune_to`.
    """
    names = list(scores)
    for name in names:  # ranks are finite whatever the scores are, so `prune_to` would not notice
        check_scores(scores[name], masks[name])
    ranks = {name: {layer: rank_scores(values) for layer, values in scores[name].items()} for name in names}
    real = [name for name in names if name not in contrast.null_concepts]
    layers = list(scores[names[0]])
    mean = {layer: reduce(torch.add, [ranks[name][layer] for name in real]) / len(real) for layer in layers}
    common = {layer: torch.stack([masks[name][layer] for name in real]).all(0) for layer in layers}
    core_masks = prune_to(mean, common, 1 - contrast.core * (1 - sparsity), scope, regrow) if contrast.core else None
    chosen = {}
    for name in names:
        lead = {}
        for layer in layers:
            mean_of_others = mean[layer]
            if name in real:
                mean_of_others = (len(real) * mean[layer] - ranks[name][layer]) / max(1, len(real) - 1)
            lead[layer] = ranks[name][layer] - mean_of_others
            if core_masks is not None:  # the core is above every difference of ranks
                lead[layer] = lead[layer].masked_fill(core_masks[layer], 2.0)
        chosen[name] = prune_to(lead, masks[name], sparsity, scope, regrow)
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
