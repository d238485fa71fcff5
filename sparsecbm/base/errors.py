"""Errors that a person can act on: one message that names the thing, the fault and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches


class SparseCBMError(Exception):
    """Base of every error that this package raises on bad input.

    The command line prints the message alone; `--debug` shows the trace as well.
    """


class ConfigError(SparseCBMError):
    """A key or value in a configuration file is wrong."""


class DataError(SparseCBMError):
    """Data is missing, unreadable or breaks its contract."""


class RefusedDataError(DataError):
    """Validation refuses the data as a whole.

    Attributes:
        result: what validation found, a `sparsecbm.data.validation.Validated`
    """

    def __init__(self, message: str, result: object) -> None:
        super().__init__(message)
        self.result = result


class ModelError(SparseCBMError):
    """A model folder or backbone is missing, incomplete, altered or does not fit."""


class PruningError(SparseCBMError):
    """Gradients, scores or masks that nothing can be pruned by."""


class InterventionError(SparseCBMError):
    """An edit of a concept or a patch of a mask that does not fit, collides, cannot be reached or does harm."""


class DegenerateSaliencyWarning(UserWarning):
    """A second-order saliency ranks weights as their magnitude does, so its gradients have no say."""


def unknown(kind: str, name: object, choices: Iterable[str]) -> str:
    """Say that `name` is no known `kind`, with the nearest match and all choices."""
    choices = [str(choice) for choice in choices]
    near = get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {str(name)!r}.{hint} Choices: {', '.join(choices)}"
