"""Scores by chance: the control that every saliency has to beat."""

import hashlib

import torch
from torch import Tensor

from sparsecbm.prune.saliency.base import Settings


def score(weights: Tensor, gradients: Tensor | None, settings: Settings, where: str) -> Tensor:
    """Uniform in [0, 1), [n]; the same for the same seed, `where` and n, and unrelated for any other."""
    digest = hashlib.sha256(f"{settings.seed}/{where}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    return torch.rand(len(weights), generator=generator).to(weights.device)
