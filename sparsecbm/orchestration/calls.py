"""Calls tasks with Prefect, or as plain functions when no Prefect server starts: then no page shows the run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prefect import Task, get_run_logger
from prefect.states import Failed, State

_HAS_SERVER: ContextVar[bool] = ContextVar("has_server", default=True)
_SILENT = logging.getLogger("sparsecbm.flows")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


@contextmanager
def without_server() -> Iterator[None]:
    """Call tasks as plain functions in the block."""
    token = _HAS_SERVER.set(False)
    try:
        yield
    finally:
        _HAS_SERVER.reset(token)


def has_server() -> bool:
    """Whether Prefect records this run."""
    return _HAS_SERVER.get()


def run_logger() -> logging.Logger | logging.LoggerAdapter:
    """The logger of the task, whose lines Prefect's pages show."""
    return get_run_logger() if has_server() else _SILENT


def call(task: Task, *arguments: object, name: str | None = None) -> State:
    """Run a task, with its retries, and return its final state.

    Args:
        name: of the task run
    """
    if has_server():
        return (task.with_options(name=name) if name else task)(*arguments, return_state=True)
    for _ in range(1 + task.retries):
        try:
            state = task.fn(*arguments)
        except Exception as error:  # Prefect, too, makes a failed state of any error
            state = Failed(message=f"{type(error).__name__}: {error}")
        if state.is_completed() or not (task.retry_condition_fn and task.retry_condition_fn(task, None, state)):
            break
    return state
