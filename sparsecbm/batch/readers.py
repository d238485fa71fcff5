"""Reads one file row by row, so that memory does not grow with the file."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from sparsecbm.base.errors import DataError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.params import TableFormat
from sparsecbm.base.unique_keys import RepeatedKeyError, object_of
from sparsecbm.batch.rows import Row, decode, failing_row, make_row
from sparsecbm.data.formats.decoding import encoding_of, require_text
from sparsecbm.data.formats.dialect import declared_separator, separator_by_names
from sparsecbm.data.formats.file_table import require_distinct, shortened
from sparsecbm.data.formats.json_rows import SURROGATE
from sparsecbm.data.formats.records import MAX_RECORD, Record, parse_records

AT_ONCE = 1_000  # rows of a parquet file or a data set
_HEAD = 4_096  # bytes by which a file is recognised
_WHITE = b" \t\r\n"


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read.

    Attributes:
        text: the texts
        id: a name of each row, or None
    """

    text: str
    id: str | None = None

    @property
    def names(self) -> list[str]:
        """Each column once."""
        return list(dict.fromkeys([self.text, *([self.id] if self.id is not None else [])]))

    def require(self, names: list[str], where: str) -> None:
        """Insist that a table has these columns.

        Raises:
            DataError: it lacks one, or a name occurs twice; the message lists the names.
        """
        require_distinct(names, where)
        for option, name in (("--column", self.text), ("--id", self.id)):
            if name is not None and name not in names:
                listed = ", ".join(shortened(names)) or "none"
                raise DataError(f"{where} has no column {name!r}; it has {listed}; name one of them by {option}")


def read_parquet(path: Path, name: str, columns: Columns) -> Iterator[Row]:
    """The rows of a parquet file."""
    try:
        with pyarrow.parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            columns.require(list(file.schema_arrow.names), str(path))
            batches = file.iter_batches(AT_ONCE, columns=columns.names, use_threads=False)
            yield from read_batches(batches, name, columns)
    except DataError:
        raise
    except Exception as error:  # pyarrow raises many kinds
        raise DataError(f"{path} is not a readable parquet file: {system_fault(error) or error}") from None


def read_batches(batches: Iterator[Any], name: str, columns: Columns) -> Iterator[Row]:
    """The rows of tables or batches of Arrow."""
    number = 0
    for batch in batches:
        texts = _cells(batch.column(columns.text))
        ids = _cells(batch.column(columns.id)) if columns.id is not None else [None] * len(texts)
        for identity, text in zip(ids, texts, strict=True):
            number += 1
            yield make_row(name, number, identity, text)


def _cells(column: Any) -> list[Any]:
    """Python values of a column. Characters are decoded one cell at a time, since one cell may hold other bytes."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string_view(kind):
        column, kind = column.cast(pa.large_string()), pa.large_string()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        cells = column.cast(pa.binary() if pa.types.is_string(kind) else pa.large_binary()).to_pylist()
        return [None if cell is None else decode(cell) for cell in cells]
    return column.to_pylist()


def read_delimited(path: Path, name: str, columns: Columns) -> Iterator[Row]:
    """The rows of a csv or tsv file with a header."""
    with _opened(path) as (file, encoding):
        require_text(file.peek(_HEAD), str(path))
        # Two-byte encodings have no byte that can stand for itself.
        errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
        lines = _lines(io.TextIOWrapper(file, encoding, errors, newline="\n"), str(path))
        first = next(lines, None)
        declared = declared_separator(first) if first is not None else None
        usual = {".csv": ",", ".tsv": "\t"}[path.suffix.lower()]
        known = {columns.text, columns.id}.__contains__
        form = TableFormat(separator=declared or separator_by_names([first or ""], '"', usual, known))
        rest = lines if declared or first is None else chain([first], lines)
        records = parse_records(rest, form, 2 if declared else 1, str(path))
        header = next(records, None)
        if header is None or header.error:
            raise DataError(f"{path} has no header that can be read; its first line must name the columns")
        columns.require(header.fields, str(path))
        yield from _records_as_rows(records, header.fields, name, columns)


def _records_as_rows(records: Iterator[Record], names: list[str], name: str, columns: Columns) -> Iterator[Row]:
    text, width = names.index(columns.text), len(names)
    identity = None if columns.id is None else names.index(columns.id)
    number = 0
    for record in records:
        cells = record.fields
        if not record.error and width > 1 and len(cells) == 1 and not cells[0].strip():
            continue  # a line of white space
        number += 1
        if record.error:
            fault = record.error
        elif len(cells) < width or any(cells[width:]):
            fault = f"the row has {len(cells)} field(s), the header has {width}"
        elif width > 1 and cells == names:
            fault = "the row repeats the header"
        else:
            yield make_row(name, number, None if identity is None else cells[identity] or None, cells[text])
            continue
        yield failing_row(name, number, "\n".join(record.lines), f"{record.location}: {fault}")


def read_json_lines(path: Path, name: str, columns: Columns) -> Iterator[Row]:
    """The rows of a jsonl file: each line is an object, or a text itself."""
    number = line_number = 0
    with _opened(path) as (file, encoding):
        require_text(file.peek(_HEAD), str(path))
        if not encoding.startswith("utf-8"):
            raise DataError(f"{path} is {encoding}, and JSON lines are UTF-8; convert it")
        while line := file.readline(MAX_RECORD):
            line_number += 1
            if not line.strip(_WHITE):
                continue
            number += 1
            if len(line) == MAX_RECORD and not line.endswith(b"\n"):
                while (rest := file.readline(MAX_RECORD)) and not rest.endswith(b"\n"):
                    pass
                reason = f"line {line_number} has more than {MAX_RECORD:,} bytes"
                yield failing_row(name, number, decode(line[:AT_ONCE]), reason)
                continue
            yield _row_of_line(line, name, (number, line_number), columns)


def _row_of_line(line: bytes, name: str, numbers: tuple[int, int], columns: Columns) -> Row:
    number, where = numbers[0], f"line {numbers[1]}"
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=object_of)
    except UnicodeDecodeError as error:
        return failing_row(name, number, decode(line), f"{where}: byte 0x{line[error.start]:02X} is not UTF-8")
    except RepeatedKeyError as error:
        return failing_row(name, number, decode(line), f"{where} {error}")
    except RecursionError:
        return failing_row(name, number, decode(line), f"{where} is not valid JSON: it is nested too deeply")
    except ValueError as error:  # a number of too many digits is one, too
        return failing_row(name, number, decode(line), f"{where} is not valid JSON: {error}")
    if isinstance(value, str):
        return make_row(name, number, None, SURROGATE.sub("\ufffd", value))
    if not isinstance(value, dict):
        return failing_row(name, number, decode(line), f"{where} holds no object and no text")
    text = value.get(columns.text)
    identity = value.get(columns.id) if columns.id is not None else None
    return make_row(name, number, identity, SURROGATE.sub("\ufffd", text) if isinstance(text, str) else text)


def read_text_file(path: Path, name: str, columns: Columns) -> Iterator[Row]:
    """The one text of a txt file, whose name is its id."""
    with _opened(path) as (file, encoding):
        content = file.read(MAX_RECORD)
        if file.read(1):
            yield failing_row(name, 1, decode(content[:AT_ONCE]), f"the file has more than {MAX_RECORD:,} bytes")
        elif encoding.startswith("utf-8"):
            yield make_row(name, 1, name, decode(content))
        else:
            try:
                yield make_row(name, 1, name, content.decode(encoding))
            except UnicodeError:
                yield failing_row(name, 1, decode(content), f"the bytes are not {encoding}")


Reader = Callable[[Path, str, Columns], Iterator[Row]]
READERS: dict[str, Reader] = {
    ".parquet": read_parquet,
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".jsonl": read_json_lines,
    ".txt": read_text_file,
}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[io.BufferedReader, str]]:
    """Yield the bytes of a file, after its byte-order mark, and the encoding that the mark says."""
    try:
        with open(path, "rb") as file:
            encoding, length = encoding_of(file.peek(_HEAD), "utf-8")
            file.seek(length)
            yield file, encoding
    except UnicodeError as error:
        raise DataError(f"{path} cannot be decoded: {error}; save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {system_fault(error) or error}") from None


def _lines(file: io.TextIOWrapper, where: str) -> Iterator[str]:
    """Lines without their line feeds; nothing else ends a line."""
    number = 0
    while line := file.readline(MAX_RECORD):
        number += 1
        if len(line) == MAX_RECORD and not line.endswith("\n"):
            raise DataError(f"{where}, line {number} has more than {MAX_RECORD:,} characters, so it is no table")
        yield line.removesuffix("\n")
