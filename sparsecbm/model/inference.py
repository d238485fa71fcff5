"""Running a model without training it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import nn

_lock = threading.Lock()
# Model -> the blocks that run it now, and the mode that it had before the first of them.
_users: WeakKeyDictionary[nn.Module, tuple[int, bool]] = WeakKeyDictionary()


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch dropout off while the block runs, then restore the model's mode. Gradients are still recorded.

    If blocks of several threads overlap, the last one restores the mode.
    """
    with _lock:
        users, training = _users.get(model, (0, model.training))
        _users[model] = users + 1, training
        if any(module.training for module in model.modules()):  # else nothing is written to a model that others use
            model.eval()
    try:
        yield
    finally:
        with _lock:
            users, training = _users.pop(model)
            if users > 1:
                _users[model] = users - 1, training
            elif training:
                model.train()


@contextmanager
def inference_mode(model: nn.Module) -> Iterator[None]:
    """Switch dropout and gradients off while the block runs, then restore the model's mode.

    Unlike `torch.inference_mode`, its results may later take part in a computation that has gradients.
    """
    with evaluation_mode(model), torch.no_grad():
        yield
