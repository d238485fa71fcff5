"""The texts in files that a command is given: tables, JSON, or lines."""

from pathlib import Path

from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.params import TableFormat
from sparsecbm.data.formats.decoding import decode, read_bytes
from sparsecbm.data.formats.file_table import FileTable, shortened
from sparsecbm.data.formats.json_rows import SURROGATE, json_values
from sparsecbm.data.formats.parquet import read_parquet_cells
from sparsecbm.data.formats.reader import SUFFIXES, parse_table
from sparsecbm.data.formats.records import split_lines
from sparsecbm.data.formats.settings_advice import without_settings
from sparsecbm.data.source_table import text_cells

COLUMN = "text"
_JSON = (".jsonl", ".json")


def load_texts(path: Path, column: str | None = None) -> list[str]:
    """Load texts from a file.

    A csv, tsv, json, jsonl, parquet or xlsx file holds them in the column or under the key `column`; a line of a jsonl
    file may be a text itself. In any other file, each line is a text.

    Raises:
        DataError: the file is missing, unreadable or broken, or a row has no text; the message names the row.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _column_of(read_parquet_cells(path), column or COLUMN, str(path))
    return parse_texts(read_bytes(path), suffix, column, str(path))


def parse_texts(content: bytes, suffix: str, column: str | None, where: str) -> list[str]:
    """The texts in the bytes of a file; without a suffix they tell the format by themselves."""
    if not suffix and content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        suffix = ".jsonl"
    elif not suffix and column is not None:
        suffix = ".csv"
    if suffix in _JSON:
        values = json_values(decode(content, "utf-8", where), where)
        return [_text_of(value, column or COLUMN, location) for location, value in values]
    if suffix in SUFFIXES:
        name = column or COLUMN
        try:
            return _column_of(parse_table(content, suffix, TableFormat(), where, known=name.__eq__), name, where)
        except DataError as error:
            raise DataError(without_settings(str(error))) from None
    if column is not None:
        raise ConfigError(f"--column names a column of a table; {where} is none, since it ends in none of {SUFFIXES}")
    return [line.removesuffix("\r") for line in split_lines(decode(content, "utf-8", where)) if line.strip()]


def _column_of(table: FileTable, column: str, where: str) -> list[str]:
    table.require_whole(where)
    names = list(table.frame.columns)
    if column not in names:
        listed = ", ".join(shortened(names)) or "none"
        remedy = f"name the column of the texts by --column. {table.hint}".rstrip()
        raise DataError(without_settings(f"{where} has no column {column!r}; it has {listed}; {remedy}"))
    texts, faults = text_cells(table.frame[column])
    if faults.notna().any():
        first = faults.first_valid_index()
        raise DataError(f"{where}, row {first + 1}: {faults[first]}")
    return texts.fillna("").tolist()


def _text_of(value: object, column: str, location: str) -> str:
    text = value if isinstance(value, str) else value.get(column) if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise DataError(f"{location} has no text; give a JSON string, or an object with the key {column!r}")
    return SURROGATE.sub("\ufffd", text)
