"""One flow a workspace at a time, and one promotion a registered model."""

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
    """Another process holds the workspace, or what it is about to change."""


@contextmanager
def only_flow(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace for the length of the block.

    Raises:
        WorkspaceBusyError: another flow holds it; the message says which process, since when.
    """
    with only_one(workspace.state, "flow", "this workspace is already running a flow"):
        yield


@contextmanager
def only_one(folder: Path, what: str, busy: str) -> Iterator[None]:
    """Hold a lock in a folder for the length of the block; it ends with the process, however that ends.

    Raises:
        WorkspaceBusyError: another process holds it; the message begins with `busy` and says which process, since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{what}.lock")
    holder = folder / f"{what}.holder.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise WorkspaceBusyError(_busy(busy, holder)) from None
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _busy(busy: str, holder: Path) -> str:
    try:
        who = json.loads(holder.read_text())
        held = f"process {who['pid']}, since {who['since']}"
    except (OSError, ValueError, KeyError):
        held = "another process"
    return f"{busy} ({held}); wait until it ends, or stop it with Ctrl-C or kill"
