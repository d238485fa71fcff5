"""A running average of the weights, which is what validation sees and what is kept.

Averaging over the last hundred or so updates smooths what single updates, and the choice of one epoch by a
small validation split, would leave to luck (Polyak and Juditsky 1992; Izmailov et al., arXiv 1803.05407).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential average of a model's trained parameters.

    Args:
        model: whose parameters with `requires_grad` are averaged
        decay: share of the old average that an update keeps; 0 makes the average the weights themselves
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.averages: dict[str, Tensor] = {
            name: parameter.detach().clone() for name, parameter in model.named_parameters() if parameter.requires_grad
        }

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after update number `step` (from 1); early on the average follows faster."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in model.named_parameters():
            if name in self.averages:
                self.averages[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Let the model have the averaged weights while the block runs."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    @torch.no_grad()
    def _swap(self, model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if name in self.averages:
                kept = parameter.detach().clone()
                parameter.copy_(self.averages[name])
                self.averages[name] = kept
