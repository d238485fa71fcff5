"""Products by oneDNN equal those of nn.Linear, forward and backward; unsupported layers are not changed."""

import pytest
import torch
from torch import nn

from sparsecbm.model import onednn as products
from sparsecbm.model.onednn import use_onednn

pytestmark = pytest.mark.skipif(not products._AVAILABLE, reason="this PyTorch has no oneDNN")


def frozen(transposed: bool, bias: bool) -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(48, 96, bias=bias).requires_grad_(False)
    if transposed:  # the layout of a Conv1D weight
        layer.weight = nn.Parameter(layer.weight.T.contiguous().T, requires_grad=False)
    return layer


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 37])
def test_outputs_and_gradients_equal_those_of_float64(transposed, bias, rows):
    layer, inputs = frozen(transposed, bias), torch.randn(rows, 5, 48).requires_grad_()
    upstream = torch.randn(5, rows, 96).transpose(0, 1)  # gradients from attention have this layout
    with use_onednn(layer):
        output = layer(inputs)
        names = [type(output.grad_fn).__name__, *(type(step).__name__ for step, _ in output.grad_fn.next_functions)]
        assert any("Product" in name for name in names)
        (gradient,) = torch.autograd.grad(output, inputs, upstream)
    exact = inputs.detach().double().requires_grad_()
    expected = layer.double()(exact)
    assert output.dtype == torch.float32 and output.shape == expected.shape
    torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-5)
    (expected_gradient,) = torch.autograd.grad(expected, exact, upstream.double())
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=1e-5, atol=1e-5)


def test_a_network_may_add_to_an_output_in_place():
    layer, inputs = frozen(False, True), torch.randn(3, 5, 48).requires_grad_()
    with use_onednn(layer):
        output = layer(inputs)
        output += 1  # as Falcon does
        (gradient,) = torch.autograd.grad(output.sum(), inputs)
    torch.testing.assert_close(gradient, layer.weight.sum(0).expand_as(inputs), rtol=1e-5, atol=1e-5)


def test_layers_are_restored_after_an_error():
    model = nn.Sequential(frozen(False, True), nn.GELU())
    with pytest.raises(KeyError), use_onednn(model):
        assert type(model[0]) is not nn.Linear
        raise KeyError
    assert type(model[0]) is nn.Linear


@pytest.mark.parametrize("layer", [nn.Linear(4, 4), frozen(False, True).double(), nn.Bilinear(2, 2, 2)])
def test_unsupported_layers_are_not_changed(layer):
    kind = type(layer)
    with use_onednn(layer):
        assert type(layer) is kind
