"""Devices, pipes and open files, such as `/dev/stdout`: what is written to them is written into them."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sparsecbm.base.errors import WriteError
from sparsecbm.base.faults import system_fault

_NAMES = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_OPEN_FILE = re.compile(r"(?:/dev/fd|/proc/(?:self|thread-self|\d+)/fd)/(\d+)")
_LINKS = 40  # as many as the system follows


def special_writer(path: Path) -> AbstractContextManager[Path] | None:
    """A context that yields a temporary path and then writes its contents into `path`; None for anything else.

    An ordinary file, a folder, and a path where nothing is are not special.
    """
    number = _open_file(path)
    if number is None and (not path.exists() or path.is_file() or path.is_dir()):
        return None
    return _writing_into(path, number)


@contextmanager
def _writing_into(path: Path, number: int | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sparsecbm-") as folder:
        temporary = Path(folder) / "new"
        temporary.touch()
        yield temporary
        try:
            # An open file is written through its own handle: opening its name again would write from its start.
            target = os.open(path, os.O_WRONLY) if number is None else os.dup(number)
            with open(temporary, "rb") as source, os.fdopen(target, "wb") as output:
                shutil.copyfileobj(source, output)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise WriteError(path, system_fault(error) or str(error)) from error


def _open_file(path: Path) -> int | None:
    """The number of this process's open file that a path stands for, through any links."""
    name = os.path.abspath(path)
    for _ in range(_LINKS):
        if name in _NAMES:
            return _NAMES[name]
        match = _OPEN_FILE.fullmatch(name)
        if match:
            own = name.startswith(("/dev/", "/proc/self/", "/proc/thread-self/", f"/proc/{os.getpid()}/"))
            return int(match[1]) if own else None
        if not os.path.islink(name):
            return None
        name = os.path.abspath(os.path.join(os.path.dirname(name), os.readlink(name)))
    return None
