"""Which weights stay: the best by score, to an exact sparsity."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sparsecbm.base.errors import ConfigError, PruningError, unknown

SCOPES = ("layer", "global")


def prune_to(
    scores: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    sparsity: float,
    scope: str = "layer",
    regrow: bool = False,
) -> dict[str, Tensor]:
    """Drop the weights of the lowest scores until exactly the wanted number is gone.

    Of n weights, sparsity * n are dropped, rounded to the nearest whole number and a half up. Where scores are equal,
    the earlier weight stays: first by the order of layers in `scores`, then row by row.

    Args:
        scores: layer -> finite scores, larger stays
        masks: layer -> boolean tensor of the same shape, True where a weight is in use now
        sparsity: share of weights dropped afterwards, in [0, 1)
        scope: `layer`: every layer reaches the sparsity; `global`: all of them together do
        regrow: let a dropped weight come back; otherwise it stays dropped whatever its score

    Returns:
        Layer -> new mask, in the order of `scores`.

    Raises:
        ConfigError: `sparsity` or `scope` is out of range.
        PruningError: scores are not finite or do not fit the masks, or more weights than wanted are gone already.
    """
    if not 0 <= sparsity < 1:
        raise ConfigError(f"sparsity is in [0, 1), not {sparsity}")
    if scope not in SCOPES:
        raise ConfigError(unknown("threshold", scope, SCOPES))
    check_scores(scores, masks)
    groups = [[layer] for layer in scores] if scope == "layer" else [list(scores)]
    kept: dict[str, Tensor] = {}
    for layers in groups:
        free = [torch.ones_like(masks[layer]) if regrow else masks[layer] for layer in layers]
        size = sum(mask.numel() for mask in free)
        keep = size - int(sparsity * size + 0.5)
        left = sum(int(mask.sum()) for mask in free)
        if left < keep:
            place = f"layer {layers[0]}" if scope == "layer" else "all layers together"
            raise PruningError(
                f"{place}: {size - left} of {size} weights are dropped already, more than a sparsity of {sparsity:g} "
                "drops; raise the sparsity, or allow regrowth"
            )
        kept |= zip(layers, _best([scores[layer] for layer in layers], free, keep), strict=True)
    return kept


def check_scores(scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Raises PruningError unless every layer has finite scores and a boolean mask of one shape."""
    if not scores or scores.keys() != masks.keys():
        odd = sorted(scores.keys() ^ masks.keys())
        raise PruningError(f"scores and masks are of different layers: {', '.join(odd) or 'there are none'}")
    for layer, values in scores.items():
        if masks[layer].dtype != torch.bool or masks[layer].shape != values.shape:
            raise PruningError(
                f"layer {layer}: the mask must be boolean and of shape {list(values.shape)}, "
                f"not {masks[layer].dtype} of shape {list(masks[layer].shape)}"
            )
        if not torch.isfinite(values).all():
            raise PruningError(f"layer {layer}: scores hold NaN or infinity; look at its weights and gradients")


def _best(scores: list[Tensor], free: list[Tensor], keep: int) -> list[Tensor]:
    """Masks of exactly `keep` weights among those that are free, the best by score."""
    if keep == 0:
        return [torch.zeros_like(mask) for mask in free]
    pairs = zip(scores, free, strict=True)
    candidates = torch.cat([values.reshape(-1) if mask.all() else values[mask] for values, mask in pairs])
    candidates = candidates.cpu().numpy().copy()
    # A partition finds the lowest score that stays without sorting, in place.
    place = len(candidates) - keep
    candidates.partition(place)
    lowest = candidates[place]
    ties = keep - int(np.count_nonzero(candidates > lowest))
    masks = []
    for values, mask in zip(scores, free, strict=True):
        values = values.to(torch.from_numpy(candidates[:0]).dtype)  # the type that all were compared in
        chosen = mask & (values > lowest.item())
        tied = (mask & (values == lowest.item())).view(-1).nonzero().view(-1)[:ties]
        chosen.view(-1)[tied] = True
        ties -= len(tied)
        masks.append(chosen)
    return masks
