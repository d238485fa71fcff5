"""Maps whose inputs were made alike: the same in float32, and closer to it after rounding to 8 bits."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sparsecbm.export import processor, runner
from sparsecbm.export.even_inputs import EvenLinear, even_inputs
from sparsecbm.export.graph import PredictionGraph
from tests.support.tiny_models import batch_of, random_masks, tiny_model


def inputs_and_map(large):
    """200 rows of 64 inputs, of which the 6th and the 41st are so many times larger, and a map to 10 outputs."""
    torch.manual_seed(0)
    inputs, linear = torch.randn(200, 64), nn.Linear(64, 10)
    inputs[:, [5, 40]] *= large
    return inputs, linear


def rounded(values):
    """Round to 255 steps of one scale, as int8 does."""
    step = values.abs().max() / 127
    return (values / step).round() * step


@torch.no_grad()
def test_in_float32_an_even_map_gives_the_same():
    inputs, linear = inputs_and_map(large=30)
    even = EvenLinear(linear, inputs.abs().amax(0))
    torch.testing.assert_close(even(inputs), linear(inputs), atol=1e-4, rtol=1e-4)
    assert len(even.largest) == 8 and {5, 40} <= set(even.largest.tolist())
    assert (even.others.weight[:, [5, 40]] == 0).all() and (even.factors[[5, 40]] == 0).all()


@pytest.mark.parametrize(("large", "least_gain", "most_gain"), [(30, 15, 40), (1, 1, 2)])
@torch.no_grad()
def test_rounding_costs_less_where_some_inputs_are_large(large, least_gain, most_gain):
    """With all inputs alike there is next to nothing to gain: 30 times larger inputs waste 30 times finer steps."""
    inputs, linear = inputs_and_map(large)
    even = EvenLinear(linear, inputs.abs().amax(0))
    plain_error = (linear(rounded(inputs)) - linear(inputs)).std()
    exact = even.exact(inputs.index_select(-1, even.largest))
    even_error = (even.others(rounded(inputs * even.factors)) + exact - linear(inputs)).std()
    assert least_gain < plain_error / even_error < most_gain


@torch.no_grad()
def test_all_maps_of_a_backbone_are_made_even_and_its_logits_stay(backbone):
    model = tiny_model(backbone)
    model.masks = random_masks(model, masked_from=1)
    graph = PredictionGraph(model)
    before = [logits.clone() for logits in graph(*batch_of(model))]
    maps = sum(isinstance(module, nn.Linear) for module in graph.model.backbone.modules())
    even_inputs(graph, [tuple(tensor.numpy() for tensor in batch_of(model))])
    assert maps == sum(isinstance(module, EvenLinear) for module in graph.model.backbone.modules()) > 0
    for after, expected in zip(graph(*batch_of(model)), before, strict=True):
        torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_an_input_that_is_always_zero_does_no_harm():
    inputs, linear = inputs_and_map(large=1)
    inputs[:, :40] = 0
    even = EvenLinear(copy.deepcopy(linear), inputs.abs().amax(0))
    torch.testing.assert_close(even(inputs), linear(inputs), atol=1e-4, rtol=1e-4)
    assert np.isfinite(even.others.weight.numpy()).all()


@pytest.mark.parametrize(
    ("features", "bits"),
    [
        ({"SSE": True, "AVX512VNNI": True}, 8),
        ({"SSE": True, "AVX512VNNI": False}, 7),
        ({"SSE": False, "NEON": True}, 8),
    ],
)
def test_weights_have_8_bits_where_no_sum_of_products_overflows(features, bits, monkeypatch):
    monkeypatch.setattr(processor, "_FEATURES", features)
    assert processor.weight_bits() == bits
    assert runner.weight_bits is processor.weight_bits
