"""Files and folders that are replaced whole or not at all, even if the process is killed.

The new version is written into a hidden work folder next to its target and then renamed. The writer holds a lock in the
work folder. The system releases the lock when the process ends, however it ends. So the next reader or writer of the
target can tell a work folder in use from one that a killed process left, and `recover` clears the latter away.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sparsecbm.base.errors import WriteError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.special_files import special_writer

LOCK, NEW, OLD = "lock", "new", "old"
WAIT = 10.0  # seconds that a reader waits for a writer that is between its two renames
_LONGEST = 100  # bytes of a name that a work folder repeats; a longer one is hashed

Check = Callable[[Path], None]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; put its contents in the place of `path` if the block succeeds.

    Only a regular file is replaced. Into a device, a pipe or an open file such as `/dev/stdout` the contents are
    written. On any error, such as a full disk, `path` stays as it was.

    Raises:
        WriteError: `path` is a folder, or it cannot be written.
    """
    path = located(path)
    with _told(path):
        special = special_writer(path)
    if special is not None:
        with special as temporary:
            yield temporary
        return
    with _told(path):
        if path.is_dir():
            raise WriteError(path, "it is a folder; name a file")
        with _work_folder(path) as work:
            fresh = work / NEW
            os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less the umask
            mode = stat.S_IMODE(fresh.stat().st_mode)
            yield fresh
            if path.is_dir():
                raise WriteError(path, "it is a folder; name a file")
            with suppress(FileNotFoundError):  # a file that others may not read stays so
                mode &= stat.S_IMODE(path.stat().st_mode) | 0o600
            os.chmod(fresh, mode)
            os.replace(fresh, path)


@contextmanager
def replacing_folder(path: Path, check: Check | None = None) -> Iterator[Path]:
    """Yield a temporary folder; let it replace `path` if the block succeeds. Links are followed.

    Args:
        check: raises an error if what is at `path` must not be replaced; called before and after the block. It is not
            called if nothing, or an empty folder, is there.

    Raises:
        WriteError: `path` is no folder, or it cannot be written.
    """
    path = Path(path)
    with _told(path):
        target = Path(os.path.realpath(path))
        _check_folder(target, check)
        with _work_folder(target) as work:
            fresh = work / NEW
            fresh.mkdir()  # less the umask
            mode = stat.S_IMODE(fresh.stat().st_mode)
            yield fresh
            for file in fresh.rglob("*"):  # libraries choose modes of their own
                if not file.is_symlink():
                    file.chmod(mode if file.is_dir() else mode & 0o666)
            _check_folder(target, check)
            _swap(fresh, target, work)


def located(path: Path) -> Path:
    """The same path without `..` and links on the way to it: `missing/../file` is `file`, which may exist.

    The last part stays as it is, since a link there is replaced and not followed.
    """
    path = Path(path)
    if path.name in ("", ".."):
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(path.parent)) / path.name


def recover(path: Path) -> None:
    """Clear away what killed writers of `path` left. A folder that one had moved aside is moved back.

    Raises:
        WriteError: a folder was moved aside and cannot be moved back; the message says where it is.
    """
    target = Path(os.path.realpath(path))
    deadline = time.monotonic() + WAIT
    for work in _work_folders(target):
        while not _recover_one(target, work) and not os.path.lexists(target) and time.monotonic() < deadline:
            time.sleep(0.01)


def _recover_one(target: Path, work: Path) -> bool:
    """Clear one work folder away; False if its writer lives and has moved the target aside."""
    handle = _lock(work)
    old = work / OLD
    if handle is None:
        return not old.exists()
    try:
        if old.exists() and not os.path.lexists(target):
            try:
                os.rename(old, target)
            except OSError as error:
                reason = f"a killed process left its contents in {old}: {error.strerror}; move that folder there"
                raise WriteError(target, reason) from error
        shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(handle)
    return True


def _check_folder(path: Path, check: Check | None) -> None:
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise WriteError(path, "it is no folder; name another folder")
    if check is not None and any(path.iterdir()):
        check(path)


def _swap(fresh: Path, target: Path, work: Path) -> None:
    """Move the target aside, and the fresh folder into its place."""
    old = work / OLD
    try:
        with suppress(FileNotFoundError):
            os.rename(target, old)
        os.rename(fresh, target)
    except BaseException:
        if old.exists() and not os.path.lexists(target):
            os.rename(old, target)
        raise


@contextmanager
def _work_folder(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    recover(target)
    handle = None
    while handle is None:  # another process may take a new work folder without a lock for one that was left
        work = target.parent / f"{_prefix(target)}{secrets.token_hex(4)}.partial"
        work.mkdir(mode=0o700)
        try:
            handle = _lock(work, new=True)
        except BaseException:
            _clear(work)
            raise
    try:
        yield work
    finally:
        _clear(work)
        os.close(handle)


def _clear(work: Path) -> None:
    """Remove a work folder. Without folders in it, this opens no file, since there may be too many open already."""
    try:
        if not os.path.lexists(work / OLD):
            for name in (NEW, LOCK):
                (work / name).unlink(missing_ok=True)
            work.rmdir()
            return
    except OSError:  # a folder
        pass
    shutil.rmtree(work, ignore_errors=True)


def _prefix(target: Path) -> str:
    name = target.name
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return f".{name}."


def _work_folders(target: Path) -> list[Path]:
    prefix, length = _prefix(target), len(_prefix(target)) + 8 + len(".partial")
    try:
        names = [entry.name for entry in os.scandir(target.parent)]
    except OSError:
        return []
    matches = [name for name in names if name.startswith(prefix) and name.endswith(".partial") and len(name) == length]
    return [target.parent / name for name in sorted(matches)]


def _lock(work: Path, new: bool = False) -> int | None:
    """Open and lock a work folder's lock file; None if another process has it, or if the folder is gone."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_CREAT | (os.O_EXCL if new else 0)
    try:
        handle = os.open(work / LOCK, flags, 0o600)
    except OSError as error:
        if new and work.is_dir() and not isinstance(error, FileExistsError):
            raise
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if new and not isinstance(error, BlockingIOError):
            return handle  # a file system without locks: nobody else can hold one either
        os.close(handle)
        return None
    if os.fstat(handle).st_nlink == 0:
        os.close(handle)
        return None
    return handle


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn a fault of the system into one error that names the path. The block's other errors pass."""
    try:
        yield
    except WriteError as error:
        if not _in_work_folder(error.path, path):
            raise
        raise WriteError(path, error.reason) from error
    except Exception as error:
        reason = system_fault(error)
        if reason is None or _concerns_another_file(error, path):
            raise
        raise WriteError(path, f"{reason}; nothing was changed") from error


def _concerns_another_file(error: Exception, path: Path) -> bool:
    """Whether an error names a file that is neither the target, nor a folder above it, nor in its work folder."""
    name = getattr(error, "filename", None)
    if not isinstance(name, str | bytes | os.PathLike):
        return False
    named, target = Path(os.path.abspath(os.fsdecode(name))), Path(os.path.realpath(path))
    absolute = Path(os.path.abspath(path))
    if named in (target, absolute, *target.parents, *absolute.parents):
        return False
    return not _in_work_folder(named, path)


def _in_work_folder(file: Path, path: Path) -> bool:
    prefix = _prefix(Path(os.path.realpath(path)))
    return any(part.startswith(prefix) and part.endswith(".partial") for part in file.parts)
