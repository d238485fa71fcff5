"""Keep the weights with the highest scores, at an exact sparsity."""

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
    """Drop the weights with the lowest scores until exactly the target number is gone.

    Of n weights, sparsity * n are dropped, rounded to the nearest whole number, with a half rounded up. Of equal scores
    the earlier weight stays: first by the order of layers in `scores`, then row by row.

    Args:
        scores: layer -> finite scores; the largest stay
        masks: layer -> boolean tensor of the same shape, True where a weight is in use now
        sparsity: share of weights that are dropped afterwards, in [0, 1)
        scope: `layer`: every layer reaches the sparsity; `global`: all layers together do
        regrow: let a dropped weight come back; otherwise it stays dropped

    Returns:
        Layer -> new mask, in the order of `scores`.

    Raises:
        ConfigError: `sparsity` or `scope` is out of range.
        PruningError: scores are not finite or do not fit the masks, or more weights than that are dropped already.
    """
    if not 0 <= sparsity < 1:
        raise ConfigError(f"sparsity is in [0, 1), not {sparsity}")
    if scope not in SCOPES:
        raise ConfigError(unknown("threshold", scope, SCOPES))
    check_scores(scores, masks)
    groups = [[layer] for layer in scores] if scope == "layer" else [list(scores)]
    kept: dict[str, Tensor] = {}
    for layers in groups:
        candidates = [torch.ones_like(masks[layer]) if regrow else masks[layer] for layer in layers]
        size = sum(mask.numel() for mask in candidates)
        keep = size - int(sparsity * size + 0.5)
        left = sum(int(mask.sum()) for mask in candidates)
        if left < keep:
            where = f"layer {layers[0]}" if scope == "layer" else "all layers together"
            raise PruningError(
                f"{where}: {size - left} of {size} weights are dropped already, more than a sparsity of {sparsity:g} "
                "drops; raise the sparsity, or allow regrowth"
            )
        kept |= zip(layers, _best([scores[layer] for layer in layers], candidates, keep), strict=True)
    return kept


def check_scores(scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Raises PruningError unless every layer has finite scores and a boolean mask of one shape."""
    if not scores or scores.keys() != masks.keys():
        unmatched = sorted(scores.keys() ^ masks.keys())
        raise PruningError(f"scores and masks are of different layers: {', '.join(unmatched) or 'there are none'}")
    for layer, values in scores.items():
        if masks[layer].dtype != torch.bool or masks[layer].shape != values.shape:
            raise PruningError(
                f"layer {layer}: the mask must be boolean and of shape {list(values.shape)}, "
                f"not {masks[layer].dtype} of shape {list(masks[layer].shape)}"
            )
        if not torch.isfinite(values).all():
            raise PruningError(f"layer {layer}: scores hold NaN or infinity; check its weights and gradients")


def _best(scores: list[Tensor], candidates: list[Tensor], keep: int) -> list[Tensor]:
    """Masks of exactly `keep` weights with the highest scores, among the candidates."""
    if keep == 0:
        return [torch.zeros_like(mask) for mask in candidates]
    pairs = zip(scores, candidates, strict=True)
    joined = torch.cat([values.reshape(-1) if mask.all() else values[mask] for values, mask in pairs])
    array = joined.cpu().numpy().copy()
    # A partition in place finds the lowest score that stays, without sorting.
    index = len(array) - keep
    array.partition(index)
    lowest = array[index]
    ties = keep - int(np.count_nonzero(array > lowest))
    masks = []
    for values, mask in zip(scores, candidates, strict=True):
        values = values.to(joined.dtype)  # the type in which all scores were compared
        chosen = mask & (values > lowest.item())
        tied = (mask & (values == lowest.item())).view(-1).nonzero().view(-1)[:ties]
        chosen.view(-1)[tied] = True
        ties -= len(tied)
        masks.append(chosen)
    return masks
