"""Products with frozen weights by oneDNN, which is twice as fast as MKL on some processors.

PyTorch multiplies float32 matrices by MKL, which does not use the widest instructions of processors other than Intel's.
oneDNN, which PyTorch includes for other types, does use them. Its products have the same precision.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@contextmanager
def use_onednn(module: nn.Module) -> Iterator[None]:
    """Let the linear maps of a module multiply by oneDNN while the block runs, if processor and data type allow it.

    Outputs and gradients of inputs are the same up to rounding. Maps whose weights take gradients are left out.
    """
    layers = [layer for layer in module.modules() if type(layer) is nn.Linear and _is_supported(layer.weight)]
    for layer in layers:
        layer.__class__ = _OneDNNLinear
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear


def _is_supported(weight: Tensor) -> bool:
    return _AVAILABLE and weight.device.type == "cpu" and weight.dtype == torch.float32 and not weight.requires_grad


class _OneDNNLinear(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        # The function multiplies a matrix, since its output would be a view for more dimensions. Some networks add to
        # an output in place, and PyTorch forbids that for views that a function made.
        rows = inputs.reshape(-1, inputs.shape[-1])
        output: Tensor = _Product.apply(rows, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return output.view(*inputs.shape[:-1], output.shape[-1])


class _Product(torch.autograd.Function):
    """x W^T + b; only x takes a gradient."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        context.weight = weight
        return _multiply(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _multiply(gradient, context.weight.T, None), None, None


def _multiply(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return product
