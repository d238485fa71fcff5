"""Gradient checkpointing: a block keeps its input only, and runs once more when the backward pass needs the rest.

Memory for activations then grows with the blocks by one hidden state each (Chen et al., arXiv 1604.06174, section 4.1).
Dropout repeats, so loss and gradients are the same. It wraps the blocks of any family by itself: not every family of
transformers supports it, and there frozen blocks at the bottom would take part in the backward pass.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context, copy_context
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sparsecbm.model.masked import find_blocks


@contextmanager
def gradient_checkpointing(backbone: nn.Module, switched_on: bool = True) -> Iterator[None]:
    """Let the blocks of a backbone keep nothing but their inputs while the block runs.

    Raises:
        ModelError: the backbone has no list of blocks.
    """
    blocks = list(find_blocks(backbone)[1]) if switched_on else []
    for block in blocks:
        block.forward = partial(_run, block.forward)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # the method of the class is in force again


def _run(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, context_fn=_contexts, **kwargs)


def _contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """The contexts of the first and of the second run. The second one may be in a thread of autograd."""
    return nullcontext(), _entered(copy_context())


@contextmanager
def _entered(context: Context) -> Iterator[None]:
    """Give all context variables, such as the route of the rows, the values of a context while the block runs."""
    tokens = [(variable, variable.set(value)) for variable, value in context.items()]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)
