"""What to change in the configuration when a GPU, or the machine, runs out of memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sparsecbm.base.errors import ModelError

SMALLER_BATCH_HINT = (
    "lower finetune.batch_size (and raise finetune.accumulate, so that updates stay as they are), set "
    "finetune.gradient_checkpointing to true, or ask `sparsecbm plan` which parameter makes the largest part smaller"
)


@contextmanager
def out_of_memory_hint(*remedies: str) -> Iterator[None]:
    """Name the keys to change when a block, or a decorated function, needs more memory than there is.

    Args:
        remedies: each names a key and its change

    Raises:
        ModelError: the GPU or the machine is out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        gpu = isinstance(error, torch.OutOfMemoryError)
        if not gpu and isinstance(error, RuntimeError) and "can't allocate memory" not in str(error):
            raise
        owner = "the GPU" if gpu else "this machine"
        raise ModelError(f"{owner} is out of memory: {', or '.join(remedies)}") from error
