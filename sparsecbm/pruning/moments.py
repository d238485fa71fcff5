"""Stops weights that no mask keeps any more."""

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

from sparsecbm.model.masked import MaskedLinear


def clear_moments_outside_masks(
    optimizer: Optimizer, layers: Mapping[str, MaskedLinear], union: Mapping[str, Tensor]
) -> None:
    """Set AdamW's moments to zero for weights outside every mask. Otherwise the moments would move these weights on.

    Args:
        optimizer: changed in place
        layers: name -> layer with masks
        union: name -> [weight's shape], True for weights that at least one mask keeps
    """
    for name, layer in layers.items():
        moments = optimizer.state.get(layer.weight, {})
        for key in moments.keys() & {"exp_avg", "exp_avg_sq"}:
            moments[key].masked_fill_(~union[name], 0.0)
