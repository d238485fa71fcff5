"""Files of JSON lines that only grow, such as a journal of what people said."""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from sparsecbm.base.errors import DataError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.files import parse_json
from sparsecbm.base.replacement import replacing


def append_json_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append records; each is on disk when the function returns. A line that a crash cut off is removed first.

    Two processes that append at once take turns, so neither loses a record. If the disk is full, no record is kept, so
    that the same call can be repeated.

    Raises:
        DataError: the file cannot be written.
    """
    content = b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as file:
            _cut_off_last_line(file)
            _append(file, content)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {system_fault(error)}") from None


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """All records, in order; none without a file. A line that a crash cut off at the end does not count.

    Raises:
        DataError: the file cannot be read, or a line is no JSON object or names a key twice; names the line.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path} cannot be read: {system_fault(error)}") from None
    records = []
    for number, line in enumerate(lines[:-1], start=1):  # the last line is empty, or was cut off
        where = f"{path}, line {number}"
        try:
            record = parse_json(line.decode("utf-8"), where)
        except UnicodeDecodeError:
            raise DataError(f"{where} is not UTF-8; correct or remove the line") from None
        if not isinstance(record, dict):
            raise DataError(f"{where} is no JSON object; correct or remove the line")
        records.append(record)
    return records


def remove_json_lines(path: Path, matches: Callable[[Mapping[str, Any]], bool]) -> None:
    """Remove the records that match; all others keep their bytes. The file changes as a whole, or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with _locked(path) as file, replacing(path) as temporary:
            file.seek(0)
            lines = file.read().split(b"\n")
            temporary.write_bytes(b"\n".join(line for line in lines if not _is_match(line, matches)))
    except OSError as error:
        raise DataError(f"{path} cannot be written: {system_fault(error)}") from None


def count_json_lines(path: Path, matches: Callable[[Mapping[str, Any]], bool]) -> int:
    """Number of records that match; 0 if there is no file."""
    return sum(_is_match(line, matches) for line in path.read_bytes().split(b"\n")) if path.is_file() else 0


def _is_match(line: bytes, matches: Callable[[Mapping[str, Any]], bool]) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and matches(record)


@contextmanager
def _locked(path: Path) -> Iterator[FileIO]:
    """The file, which no other process changes or replaces while the block runs."""
    while True:
        with open(path, "a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
            if os.path.exists(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                yield file
                return


def _append(file: FileIO, content: bytes) -> None:
    """Write all of the content, or nothing. A buffer would keep what failed, and write it when the file is closed."""
    size = file.seek(0, os.SEEK_END)
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            file.truncate(size)
        raise


def _cut_off_last_line(file: FileIO) -> None:
    """Remove what a crash left of a line at the end of a file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 1, 0))
    if file.read(1) not in (b"", b"\n"):
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
