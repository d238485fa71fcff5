"""What a command or call may replace: nothing, something empty, or an earlier output of the same kind."""

import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from sparsecbm.base.errors import WriteError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.replacement import located

CONFIG, CHECKSUMS = "config.json", "checksums.json"  # every model folder holds both
EXPORT = "export.json"  # every exported model holds it
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST = 1 << 24  # bytes of a file that are looked into

Recogniser = Callable[[bytes], bool]


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a model: a `config.json` with a format, and a `checksums.json` that lists sha256."""
    return bool(_listed_files(path))


def check_model_folder(path: Path) -> None:
    """Check that a folder holds a model and nothing else, so that another model may replace it.

    Raises:
        WriteError: it is no model folder, or it holds a file that is not the model's.
    """
    listed = _listed_files(path)
    if not listed:
        raise WriteError(path, "it is not empty and no model folder; name a new folder, or move what is there away")
    names = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_symlink() or not file.is_dir())
    others = sorted(set(names) - listed - {CHECKSUMS})
    if others:
        raise WriteError(path, f"it holds {_few(others)} besides the model; move that away, or name another folder")


def check_output(path: Path, recognise: Recogniser, kind: str) -> None:
    """Check that a file may be written, before the work for it begins.

    A device or pipe may be written into. A file may be replaced if it is empty or of the same kind.

    Args:
        recognise: whether the beginning of a file, or a small file as a whole, is of that kind
        kind: what the file is to hold, for the message

    Raises:
        WriteError: a folder or another kind of file is there, it cannot be created, or it is inside a model folder.
    """
    path = located(path)
    refuse_inside_model(path)
    try:
        if path.is_dir():
            raise WriteError(path, "it is a folder; name a file")
        _check_parent(path)
        if not path.is_file() or path.stat().st_size == 0:
            return
        with open(path, "rb") as file:
            head = file.read(_LARGEST)
    except OSError as error:
        raise WriteError(path, system_fault(error) or str(error)) from None
    if _is_open_file(path):
        return
    if not recognise(head):
        raise WriteError(path, f"it exists and does not hold {kind}; name another file, or move this one away")


def _check_parent(path: Path) -> None:
    """Refuse a path that cannot be created."""
    folder = next(folder for folder in path.parents if os.path.lexists(folder))
    if not folder.is_dir():
        raise WriteError(path, f"{folder} is no folder; name another path")
    if not os.path.lexists(path) and not os.access(folder, os.W_OK | os.X_OK):
        raise WriteError(path, f"{folder} cannot be written; name another path, or make it writable (chmod u+w)")


def refuse_inside_model(path: Path) -> None:
    """Check that a path is not inside a model folder, which could no longer be loaded with another file in it.

    Raises:
        WriteError: it is.
    """
    for folder in Path(os.path.realpath(path)).parents:
        if is_model_folder(folder):
            raise WriteError(path, f"{folder} is a model folder, which holds no other files; name another path")


def json_of(keys: Iterable[str]) -> Recogniser:
    """Recognise JSON, or lines of JSON, whose first value is an object with exactly these keys."""
    expected = set(keys)

    def recognise(head: bytes) -> bool:
        try:
            value, _ = json.JSONDecoder().raw_decode(head.decode("utf-8", errors="replace").lstrip())
        except (ValueError, RecursionError):
            return False
        return isinstance(value, dict) and set(value) == expected

    return recognise


def tensors_with(metadata: str) -> Recogniser:
    """Recognise a safetensors file whose only metadata has this name."""
    return lambda head: head[8:].startswith(f'{{"__metadata__":{{"{metadata}":'.encode())


def _listed_files(path: Path) -> set[str]:
    """The files that a model folder's checksums list; none if it is no model folder."""
    try:
        config, checksums = (_small_json(Path(path) / name) for name in (CONFIG, CHECKSUMS))
    except (OSError, ValueError, RecursionError):
        return set()
    if not (isinstance(config, dict) and isinstance(config.get("format"), int) and isinstance(checksums, dict)):
        return set()
    listed = {name for name, digest in checksums.items() if isinstance(digest, str) and _SHA256.fullmatch(digest)}
    return listed if CONFIG in listed else set()


def _small_json(path: Path) -> object:
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise ValueError(path)
    return json.loads(path.read_bytes())


def _is_open_file(path: Path) -> bool:
    return os.path.abspath(path).startswith(("/dev/", "/proc/"))


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
