"""One vector for each text from the states of its tokens, without padding."""

import torch
from torch import Tensor


def pool(states: Tensor, mask: Tensor, kind: str) -> Tensor:
    """Pool token states.

    Args:
        states: [batch, tokens, hidden]
        mask: [batch, tokens], 1 for a token and 0 for padding; padding is on the right
        kind: mean | cls | last_token

    Returns:
        [batch, hidden]

    Raises:
        ValueError: unknown kind; names the choices.
    """
    if kind == "mean":
        weights = mask.to(states.dtype).unsqueeze(-1)  # [batch, tokens, 1]
        return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
    if kind == "cls":
        return states[:, 0]
    if kind == "last_token":
        last = (mask.sum(1) - 1).clamp(min=0)  # [batch]
        return states[torch.arange(len(states), device=states.device), last]
    raise ValueError(f"unknown pooling {kind!r}; choices: mean, cls, last_token")
