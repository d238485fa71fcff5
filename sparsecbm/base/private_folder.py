"""A folder for locks that only the user can write to, outside any workspace."""

import os
import stat
import tempfile
from pathlib import Path

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.faults import system_fault


class PrivateFolderError(SparseCBMError):
    """The folder for locks cannot be made, or others could write to it."""


def private_folder() -> Path:
    """The user's own folder `sparsecbm`: in the runtime directory of the session, else in the home, else in the
    temporary directory. It is made with mode 0700 if it does not exist.

    Raises:
        PrivateFolderError: it cannot be made, is a link, belongs to somebody else, or others may write to it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    for parent in (runtime, home):
        if parent and os.path.isabs(parent) and _owned_or_makeable(Path(parent)):
            return _checked(Path(parent) / "sparsecbm")
    return _checked(Path(tempfile.gettempdir()) / f"sparsecbm-{os.getuid()}")


def _owned_or_makeable(parent: Path) -> bool:
    """Whether the user owns a folder in which more can be made; missing parts of it are made."""
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return parent.stat().st_uid == os.getuid() and os.access(parent, os.W_OK | os.X_OK)
    except OSError:
        return False


def _checked(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise PrivateFolderError(f"could not make {folder}, the folder for locks: {system_fault(error)}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PrivateFolderError(f"{folder} is not a folder of yours, so no lock is put there; remove it")
    if stat.S_IMODE(status.st_mode) & 0o022:
        raise PrivateFolderError(f"others may write to {folder}, so no lock is put there; `chmod 700 {folder}`")
    return folder
