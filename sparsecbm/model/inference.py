"""Running a model without training it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch dropout off while the block runs, then restore the model's mode. Gradients are still recorded."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def inference_mode(model: nn.Module) -> Iterator[None]:
    """Switch dropout and gradients off while the block runs, then restore the model's mode.

    Unlike `torch.inference_mode`, its results may later take part in a computation that has gradients.
    """
    with evaluation_mode(model), torch.no_grad():
        yield
