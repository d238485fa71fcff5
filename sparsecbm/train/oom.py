"""What to do where a GPU's memory is too small, in the words of the configuration."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sparsecbm.base.errors import ModelError

SMALLER_BATCH_HINT = "lower finetune.batch_size (and raise finetune.accumulate, so that updates stay as they are)"


@contextmanager
def out_of_memory_hint(*remedies: str) -> Iterator[None]:
    """Say what to change where what runs inside, or the function that this decorates, needs more memory than there is.

    Args:
        remedies: each a key and what to do with it

    Raises:
        ModelError: the GPU is out of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(f"the GPU is out of memory: {', or '.join(remedies)}") from error
