"""One promotion of a registered model at a time.

The lock is a socket in Linux's abstract namespace. Its name depends on the registered model alone, not on the address
of the registry: `sqlite:////a/./b`, a symlink to it, and a server that serves it are the same model. It needs no
folder, and it ends with its process. A database file is locked next to itself, too: containers may share its folder,
but they have sockets of their own.

Other machines are not locked out; the intent in the registry shows their operations.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sparsecbm.pipeline.lock import WorkspaceBusyError, exclusive_lock
from sparsecbm.track.probe import sqlite_path


@contextmanager
def promotion_lock(uri: str, model: str, identity: str) -> Iterator[None]:
    """Hold the lock of a registered model while the block runs.

    Args:
        uri: of the registry
        identity: of the registered model, `Registry.identity`

    Raises:
        WorkspaceBusyError: another process holds it; the message names the process.
    """
    busy = f"another promotion of {model!r} is in progress"
    database = sqlite_path(uri)
    folder = Path(database).resolve().parent if database else None
    with exclusive_lock(folder, f"promotion-{identity}", busy) if folder else nullcontext():
        name = f"\0sparsecbm-promotion-{identity}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
            try:
                lock.bind(name)
            except OSError:
                raise WorkspaceBusyError(f"{busy} ({_holder(name)}); wait until it ends, or stop it") from None
            lock.listen()
            yield


def _holder(name: str) -> str:
    """The process that holds a lock."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            client.connect(name)
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return f"process {struct.unpack('3i', credentials)[0]}"
    except OSError:
        return "another process"
