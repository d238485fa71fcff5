"""A running average of the weights. Validation scores it, and training keeps it.

The average covers the last hundred or so updates. It smooths out what single updates, and the choice of one epoch by a
small validation split, leave to chance (Polyak and Juditsky 1992; Izmailov et al., arXiv 1803.05407).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of a model's trained parameters.

    Args:
        model: parameters with `requires_grad` are averaged
        decay: share of the old average that an update keeps; with 0 the average equals the weights
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.averages: dict[str, Tensor] = {
            name: parameter.detach().clone() for name, parameter in model.named_parameters() if parameter.requires_grad
        }

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Include the weights after update number `step` (from 1). The average follows faster at the start."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in model.named_parameters():
            if name in self.averages:
                self.averages[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Give the model the averaged weights during a block, and its own weights afterwards."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    @torch.no_grad()
    def _swap(self, model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if name in self.averages:
                weights = parameter.detach().clone()
                parameter.copy_(self.averages[name])
                self.averages[name] = weights
