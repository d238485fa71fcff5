"""Adapters of low rank beside frozen linear maps (LoRA, Hu et al., arXiv 2106.09685, section 4.1).

    W x + alpha / rank * B A x        W [out, in] stays, A [rank, in] and B [out, rank] are trained

B starts at 0, so a model with fresh adapters gives what it gave without them. After training they are added to the
weights, and all that follows sees a plain dense model.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import Lora
from sparsecbm.model.masked import prunable_layers


class AdaptedLinear(nn.Module):
    """A linear map with an adapter. Its weight and bias are those of the map, under the same names."""

    def __init__(self, layer: nn.Linear | Conv1D, rank: int, alpha: float):
        super().__init__()
        self.original = (layer,)  # in a tuple, so that it is no submodule and its weights count once
        self.weight, self.bias = layer.weight, layer.bias
        self.input_first = isinstance(layer, Conv1D)  # Conv1D holds [in, out], nn.Linear [out, in]
        self.scale = alpha / rank
        rows, columns = self._oriented.shape
        self.adapter_a = nn.Parameter(layer.weight.new_empty(rank, columns))
        self.adapter_b = nn.Parameter(layer.weight.new_zeros(rows, rank))
        nn.init.kaiming_uniform_(self.adapter_a, a=math.sqrt(5))

    @property
    def _oriented(self) -> Tensor:
        """The weight as [out, in]."""
        return self.weight.T if self.input_first else self.weight

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs, [..., in] -> [..., out]."""
        change = functional.linear(functional.linear(inputs, self.adapter_a), self.adapter_b)
        return functional.linear(inputs, self._oriented, self.bias) + self.scale * change

    @torch.no_grad()
    def merge(self) -> None:
        """Add the adapter to the weight."""
        self._oriented.addmm_(self.adapter_b, self.adapter_a, alpha=self.scale)


def add_adapters(backbone: nn.Module, lora: Lora) -> None:
    """Put an adapter beside each linear map in the blocks that matches a pattern.

    Raises:
        ConfigError: a pattern matches nothing, or the rank is larger than a map allows.
    """
    layers = prunable_layers(backbone, lora.layers, key="finetune.lora.layers")
    for name, layer in layers.items():
        assert isinstance(layer, nn.Linear | Conv1D), "adapters belong to a dense model"
        rows, columns = layer.weight.shape
        most = min(rows, columns)
        if lora.rank > most:
            raise ConfigError(
                f"finetune.lora.rank: {lora.rank} is larger than {name} of {rows} x {columns} weights allows; "
                f"take 1 to {most}, or leave such layers out (finetune.lora.layers)"
            )
    for name, layer in layers.items():
        _replace(backbone, name, AdaptedLinear(layer, lora.rank, lora.alpha))


def freeze_under_adapters(backbone: nn.Module) -> None:
    """Train the adapters and nothing else of the backbone, if it has some."""
    adapted = _adapted(backbone).values()
    if adapted:
        backbone.requires_grad_(False)
        for layer in adapted:
            layer.adapter_a.requires_grad_(True)
            layer.adapter_b.requires_grad_(True)


def merge_adapters(backbone: nn.Module) -> None:
    """Add all adapters to the weights, and take them off; a backbone without adapters stays as it is."""
    for layer in _adapted(backbone).values():
        layer.merge()
    remove_adapters(backbone)


def remove_adapters(backbone: nn.Module) -> None:
    """Take all adapters off; the weights stay as they were before training."""
    for name, layer in _adapted(backbone).items():
        _replace(backbone, name, layer.original[0])


def _adapted(backbone: nn.Module) -> dict[str, AdaptedLinear]:
    return {name: module for name, module in backbone.named_modules() if isinstance(module, AdaptedLinear)}


def _replace(backbone: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(backbone.get_submodule(parent), child, layer)
