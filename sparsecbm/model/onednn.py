"""Products with weights that stay as they are, by oneDNN: on processors that MKL does not know, twice as fast.

PyTorch multiplies float32 matrices by MKL, which leaves the widest instructions of other makers' processors unused.
oneDNN, which PyTorch brings along for other types, uses them; the products are of the same precision.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

_KNOWN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@contextmanager
def use_onednn(module: nn.Module) -> Iterator[None]:
    """Let the linear maps of a module multiply by oneDNN while the block runs, where this processor and type allow.

    Outputs and gradients of inputs are the same up to rounding. Maps whose weights take gradients stay as they are.
    """
    layers = [layer for layer in module.modules() if type(layer) is nn.Linear and _fits(layer.weight)]
    for layer in layers:
        layer.__class__ = _QuickLinear
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear


def _fits(weight: Tensor) -> bool:
    return _KNOWN and weight.device.type == "cpu" and weight.dtype == torch.float32 and not weight.requires_grad


class _QuickLinear(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return _Product.apply(inputs, self.weight, self.bias)


class _Product(torch.autograd.Function):
    """x W^T + b, whose gradient is that of x alone."""

    @staticmethod
    def forward(context: FunctionCtx, inputs: Tensor, weight: Tensor, bias: Tensor | None):
        context.weight = weight
        return _multiply(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(context: FunctionCtx, gradient: Tensor):
        return _multiply(gradient, context.weight.T, None), None, None


def _multiply(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
