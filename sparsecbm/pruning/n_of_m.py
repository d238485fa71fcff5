"""n:m sparsity: exactly n of each m neighbouring inputs of a row stay. Hardware can use such a pattern (2:4)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sparsecbm.base.errors import ConfigError, PruningError, unknown
from sparsecbm.pruning.select import check_scores

# What torch.sparse.to_sparse_semi_structured requires (torch/sparse/semi_structured.py), by backend and type: these
# numbers must divide the rows and the columns of a weight [out, in].
MULTIPLES = {
    "cutlass": {
        torch.int8: (16, 128),
        torch.float16: (32, 64),
        torch.bfloat16: (32, 64),
        torch.float32: (32, 32),
    },
    "cusparselt": {
        torch.float8_e4m3fn: (32, 32),
        torch.int8: (32, 32),
        torch.float16: (16, 16),
        torch.bfloat16: (16, 16),
    },
}


def prune_n_of_m(
    scores: Mapping[str, Tensor], masks: Mapping[str, Tensor], n: int, m: int, regrow: bool = False
) -> dict[str, Tensor]:
    """Keep exactly n of each m consecutive inputs of every output, those with the highest scores.

    Of equal scores the earlier weight stays.

    Args:
        scores: layer -> [out, in], finite; the largest stay
        masks: layer -> [out, in], boolean, True where a weight is in use now
        n: weights that stay in each group of m, from 1 to m
        regrow: let a dropped weight come back; otherwise it stays dropped

    Raises:
        ConfigError: n and m make no pattern, or m does not divide a layer's inputs.
        PruningError: scores are not finite or do not fit the masks, or a group has fewer than n weights left.
    """
    if not 1 <= n <= m:
        raise ConfigError(f"the pattern {n}:{m} is not possible; N:M keeps N of M weights, with N from 1 to M")
    check_scores(scores, masks)
    return {layer: _best_of_each_group(layer, scores[layer], masks[layer], n, m, regrow) for layer in scores}


def _best_of_each_group(layer: str, scores: Tensor, mask: Tensor, n: int, m: int, regrow: bool) -> Tensor:
    if scores.dim() != 2 or scores.shape[1] % m:
        raise ConfigError(
            f"layer {layer}: {m} does not divide the inputs of its weight, [out, in] = {list(scores.shape)}, so it "
            f"cannot be pruned {n}:{m}; choose another pattern (prune.granularity), or leave the layer dense "
            "(prune.layers)"
        )
    groups, in_use = scores.reshape(-1, m), mask.reshape(-1, m)
    if not regrow:
        if int(in_use.sum(1).min()) < n:
            raise PruningError(
                f"layer {layer}: some groups of {m} weights have fewer than {n} left, so the layer cannot be {n}:{m}; "
                "start from dense masks, or allow regrowth"
            )
        groups = groups.masked_fill(~in_use, float("-inf"))
    order = groups.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(in_use).scatter_(1, order[:, :n], True).view_as(mask)


def check_semi_structured(masks: Mapping[str, Tensor], dtype: torch.dtype, backend: str = "cutlass") -> None:
    """Check that masked weights fit torch's semi-structured kernels: 2:4, and 1:2 for float32.

    Args:
        masks: layer -> [out, in], boolean; the kernels also need contiguous weights on a GPU
        dtype: of the weights
        backend: cutlass | cusparselt

    Raises:
        ConfigError: the backend is unknown, or does not support the type.
        PruningError: a layer's shape or pattern does not fit; the message names the layer.
    """
    if backend not in MULTIPLES:
        raise ConfigError(unknown("backend of semi-structured sparsity", backend, MULTIPLES))
    if dtype not in MULTIPLES[backend]:
        raise ConfigError(unknown(f"type of {backend} weights", dtype, map(str, MULTIPLES[backend])))
    rows, columns = MULTIPLES[backend][dtype]
    n, m = (1, 2) if dtype == torch.float32 else (2, 4)
    for layer, mask in masks.items():
        if mask.dim() != 2 or 0 in mask.shape or mask.shape[0] % rows or mask.shape[1] % columns:
            raise PruningError(
                f"layer {layer}: {backend} needs weights [out, in] in multiples of {rows} and {columns} for {dtype}, "
                f"not {list(mask.shape)}"
            )
        most = int(mask.reshape(-1, m).sum(1).max())
        if most > n:
            raise PruningError(f"layer {layer}: a group of {m} weights keeps {most}, more than the {n} of {n}:{m}")
