"""Locks between processes: one flow at a time in a workspace, one promotion at a time of a registered model."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace


class WorkspaceBusyError(SparseCBMError):
    """Another process holds the lock."""


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
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    holder = folder / f"{name}.holder.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise WorkspaceBusyError(f"{busy} ({_describe(holder)}); wait until it ends, or stop it") from None
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _describe(holder: Path) -> str:
    """The process that holds a lock, by its note."""
    try:
        note = json.loads(holder.read_text())
        return f"process {note['pid']}, since {note['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"
