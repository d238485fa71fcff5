"""DVC's locks of processes that are gone, which a kill leaves behind.

DVC notes in `.dvc/tmp/rwlock` which process reads or writes which path, and asks later whether a process of that number
exists. A killed one may still: as a zombie, until its parent collects it, or because another program has its number
now, as in a container that starts again. And a kill while DVC writes the file cuts it off. In each case DVC refuses to
go on until somebody removes the file.
"""

import fcntl
import json
from pathlib import Path
from typing import Any

from sparsecbm.base.files import write_json

LOCKS, GUARD = "rwlock", "rwlock.lock"


def free_stale_locks(root: Path) -> None:
    """Remove the locks of processes that are no DVC any more. Those of a DVC that runs stay as they are."""
    folder = root / ".dvc" / "tmp"
    if not (folder / LOCKS).is_file():
        return
    with open(folder / GUARD, "a", encoding="utf-8") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a running DVC edits the file right now
            return
        _free(folder / LOCKS)


def _free(path: Path) -> None:
    try:
        locks = json.loads(path.read_text(encoding="utf-8"))
        writers = {name: holder for name, holder in locks.get("write", {}).items() if holder and _runs(holder)}
        readers = {name: [each for each in holders if _runs(each)] for name, holders in locks.get("read", {}).items()}
    except FileNotFoundError:
        return
    except (ValueError, AttributeError, KeyError, TypeError):  # cut off by a kill, so no process has it open
        path.unlink()
        return
    left = {"write": writers, "read": {name: holders for name, holders in readers.items() if holders}}
    if left != locks:
        write_json(path, left)


def _runs(holder: dict[str, Any]) -> bool:
    """Whether the process that a lock names is a DVC that runs."""
    import psutil  # of the extra `pipeline`, as DVC is

    try:
        process = psutil.Process(int(holder["pid"]))
        return process.status() != psutil.STATUS_ZOMBIE and any("dvc" in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # of another user, so nothing is known of it
        return True
