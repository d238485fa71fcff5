"""A test of single weights: what is found, on contrasts whose answer is known."""

import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture
def module(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "benchmarks"), *sys.path])
    import weight_contrast

    return weight_contrast


def test_weights_whose_contrast_is_above_zero_are_found_and_no_others(module):
    noise = torch.randn(48, 1000, generator=torch.Generator().manual_seed(1))
    noise -= noise.mean(0)  # so each weight has a mean of exactly 0, and t = 0
    assert module.found(noise) == 0
    noise[:, :30] += 2  # t is about 14
    noise[:, 30:60] -= 2
    assert module.found(noise) == 30


def test_logarithms_do_not_depend_on_the_scale_of_a_batch(module):
    gradients = torch.tensor([[1.0, -2.0, 4.0], [10.0, 20.0, 40.0]])
    logs = module.logarithms(gradients)
    step = 2 * torch.log(torch.tensor(2.0))
    assert torch.allclose(logs, torch.stack([-step, 0 * step, step]).repeat(2, 1), atol=1e-5)
