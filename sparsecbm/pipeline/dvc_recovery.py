"""What a killed DVC leaves behind, and how the next one goes on.

DVC notes in `.dvc/tmp/rwlock` which process reads or writes which path, and asks later whether a process of that number
exists. A killed one may still: as a zombie, until its parent collects it, or because another program has its number
now, as in a container that starts again. And a kill while DVC writes this file or `dvc.lock` cuts it off. In each case
DVC refuses to go on until somebody removes the file.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sparsecbm.base.files import write_json

DAMAGED = ".damaged"  # ends the name of a `dvc.lock` that was set aside


def recover_dvc(root: Path) -> None:
    """Free locks of processes that are no DVC any more, and set a `dvc.lock` aside that is cut off.

    What a running DVC holds or writes stays as it is. Without `dvc.lock`, DVC takes the results of earlier stages from
    its cache of runs, and computes nothing again.
    """
    folder = root / ".dvc" / "tmp"
    if not folder.is_dir():
        return
    with _held(folder / "rwlock.lock") as held:
        if held:
            _free_locks(folder / "rwlock")
    with _held(folder / "lock") as held:
        path = root / "dvc.lock"
        if held and path.is_file() and not _is_whole(path):
            path.replace(path.with_name(path.name + DAMAGED))


@contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Hold one of DVC's locks during the block; False if another process holds it, or nothing may be written here.

    The file is not made, since with DVC's option `hardlink_lock` a file is a lock, and more than one name holds it.
    """
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield True
        return
    except OSError:
        yield False
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = os.fstat(file).st_nlink == 1
    except BlockingIOError:
        held = False
    try:
        yield held
    finally:
        os.close(file)


def _free_locks(path: Path) -> None:
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


def _is_whole(path: Path) -> bool:
    """Whether `dvc.lock` has the form that DVC asks for. An entry without a checksum passes: DVC finds it changed."""
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        stages = content["stages"].values()
        return "schema" in content and all(
            isinstance(stage["cmd"], str | list)
            and all(_is_entry(entry) for kind in ("deps", "outs") for entry in stage.get(kind, []))
            and all(isinstance(values, dict) for values in stage.get("params", {}).values())
            for stage in stages
        )
    except (YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return False


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and None not in (entry.get("path"), entry.get("hash", ""), entry.get("size", 0))
