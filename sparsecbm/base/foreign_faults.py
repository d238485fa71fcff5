"""Faults of other libraries, told as one clear error."""

from collections.abc import Iterator
from contextlib import contextmanager

from sparsecbm.base.errors import ModelError, SparseCBMError


@contextmanager
def foreign_faults(message: str) -> Iterator[None]:
    """Turn any fault of another library into a `ModelError` that begins with `message`.

    Libraries that read what anybody may have written raise errors of every kind, and Rust's panics are no `Exception`.
    """
    try:
        yield
    except (SparseCBMError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        if isinstance(error, MemoryError) or not (isinstance(error, Exception) or "Panic" in type(error).__name__):
            raise
        raise ModelError(f"{message}: {_first_line(error)}") from error


def _first_line(error: BaseException, most: int = 300) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:most]
