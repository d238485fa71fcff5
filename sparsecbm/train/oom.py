"""What to change in the configuration when a GPU runs out of memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sparsecbm.base.errors import ModelError

SMALLER_BATCH_HINT = "lower finetune.batch_size (and raise finetune.accumulate, so that updates stay as they are)"


@contextmanager
def out_of_memory_hint(*remedies: str) -> Iterator[None]:
    """Name the keys to change when a block, or a decorated function, needs more GPU memory than there is.

    Args:
        remedies: each names a key and its change

    Raises:
        ModelError: the GPU is out of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(f"the GPU is out of memory: {', or '.join(remedies)}") from error
