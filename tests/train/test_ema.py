"""The running average of the weights, by hand."""

import pytest
from torch import nn

from sparsecbm.train.ema import WeightAverage


@pytest.fixture
def layer():
    layer = nn.Linear(1, 1)
    layer.bias.requires_grad_(False)
    nn.init.constant_(layer.weight, 4.0)
    return layer


def test_the_average_follows_quickly_at_first_and_slowly_later(layer):
    average = WeightAverage(layer, decay=0.5)
    nn.init.constant_(layer.weight, 8.0)
    average.update(layer, step=1)  # keeps (1 + 1) / (10 + 1) of the old average
    assert average.averages["weight"].item() == pytest.approx(4 * 2 / 11 + 8 * 9 / 11)
    average.averages["weight"].fill_(4.0)
    average.update(layer, step=100)  # the decay itself: keeps half
    assert average.averages["weight"].item() == pytest.approx(6)


def test_without_decay_the_average_equals_the_weights(layer):
    average = WeightAverage(layer, decay=0.0)
    nn.init.constant_(layer.weight, 8.0)
    average.update(layer, step=3)
    assert average.averages["weight"].item() == 8


def test_the_weights_are_restored_even_after_an_error(layer):
    average = WeightAverage(layer, decay=0.5)
    nn.init.constant_(layer.weight, 8.0)
    with pytest.raises(RuntimeError), average.applied(layer):
        assert layer.weight.item() == 4
        raise RuntimeError
    assert layer.weight.item() == 8
    assert average.averages["weight"].item() == 4


def test_frozen_parameters_have_no_average(layer):
    assert set(WeightAverage(layer, 0.9).averages) == {"weight"}
