"""Locks between processes: one flow at a time in a workspace, one promotion at a time of a registered model."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sparsecbm.base.errors import DataError, SparseCBMError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.files import read_json_object, write_json
from sparsecbm.base.workspace import Workspace


class WorkspaceBusyError(SparseCBMError):
    """Another process holds the lock."""


class LockError(SparseCBMError):
    """A lock file cannot be made, or is a link."""


@contextmanager
def flow_lock(workspace: Workspace) -> Iterator[None]:
    """Hold the lock of a workspace's flows while the block runs.

    Raises:
        WorkspaceBusyError: another flow holds it; the message names its process and start time.
    """
    with exclusive_lock(workspace.state, "flow", "this workspace is already running a flow"):
        yield


@contextmanager
def exclusive_lock(folder: Path, name: str, busy: str) -> Iterator[None]:
    """Hold a lock file while the block runs; it is released when the process ends, even after a crash.

    Args:
        busy: first words of the error message

    Raises:
        WorkspaceBusyError: another process holds it; the message names the process and its start time.
        LockError: the lock file cannot be made, or is a link.
    """
    path, holder = folder / f"{name}.lock", folder / f"{name}.holder.json"
    lock = FileLock(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise WorkspaceBusyError(f"{busy} ({_describe(holder)}); wait until it ends, or stop it") from None
    except OSError as error:
        raise LockError(f"could not lock {path}: {system_fault(error)}") from error
    try:
        write_json(holder, {"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _describe(holder: Path) -> str:
    """The process that holds a lock, by its note."""
    try:
        note = read_json_object(holder)
        return f"process {note['pid']}, since {note['since']}"
    except (DataError, KeyError):
        return "another process"
