"""Errors that a person can act on. Each message names the thing, the fault and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class SparseCBMError(Exception):
    """Base of every error that this package raises on bad input.

    The command line prints the message alone; `--debug` adds the trace.
    """


class ConfigError(SparseCBMError):
    """A key or value in a configuration file is wrong."""


class DataError(SparseCBMError):
    """Data is missing, unreadable or breaks its contract."""


class WriteError(DataError):
    """A file or folder cannot be written, or what is there must not be replaced.

    Attributes:
        path: what was to be written
        reason: why it was not, in words
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"could not write {path}: {reason}")
        self.path, self.reason = path, reason


class RefusedDataError(DataError):
    """Validation refuses the data as a whole.

    Attributes:
        result: what validation found, a `sparsecbm.data.validation.Validated`
    """

    def __init__(self, message: str, result: object) -> None:
        super().__init__(message)
        self.result = result


class ModelError(SparseCBMError):
    """A model folder or backbone is missing, incomplete or altered, or does not fit."""


class PruningError(SparseCBMError):
    """Pruning is impossible with these gradients, scores or masks."""


class InterventionError(SparseCBMError):
    """A concept edit or a mask patch does not fit, collides with another, misses its aim or does harm."""


class DegenerateSaliencyWarning(UserWarning):
    """A second-order saliency ranks weights as their magnitude does, so its gradients have no effect."""


def unknown(kind: str, name: object, choices: Iterable[object]) -> str:
    """Say that `name` is not a known `kind`, with the closest choice and all choices."""
    names = [str(choice) for choice in choices]
    if isinstance(name, str) and len(name) > 60:
        name = f"{name[:60]}..."
    matches = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean {matches[0]!r}?" if matches else ""
    shown = name if isinstance(name, int | float) else str(name)
    return f"unknown {kind} {shown!r}.{hint} Choices: {', '.join(names)}"
