"""One flow a workspace at a time."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sparsecbm.errors import SparseCBMError
from sparsecbm.workspace import Workspace


class WorkspaceBusy(SparseCBMError):
    """Another flow holds the workspace."""


@contextmanager
def only_flow(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace for the length of the block; the lock ends with the process, however it ends.

    Raises:
        WorkspaceBusy: another flow holds it; the message says which process, since when.
    """
    workspace.state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(workspace.state / "flow.lock")
    holder = workspace.state / "flow.holder.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise WorkspaceBusy(_busy(holder)) from None
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _busy(holder: Path) -> str:
    try:
        who = json.loads(holder.read_text())
        held = f"process {who['pid']}, since {who['since']}"
    except (OSError, ValueError, KeyError):
        held = "another process"
    return f"this workspace is already running a flow ({held}); wait until it ends, or stop it with Ctrl-C or kill"
