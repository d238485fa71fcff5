"""The one reader of tables: every command and every source reads a file through `read_table`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import TableFormat
from sparsecbm.data.formats.decoding import decode, read_bytes, require_text
from sparsecbm.data.formats.delimited import read_delimited
from sparsecbm.data.formats.dialect import separator_by_names
from sparsecbm.data.formats.file_table import FileTable
from sparsecbm.data.formats.json_rows import read_json
from sparsecbm.data.formats.parquet import read_parquet_cells
from sparsecbm.data.formats.records import split_lines
from sparsecbm.data.formats.spreadsheet import read_spreadsheet

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_table(path: Path, form: TableFormat | None = None, known: Callable[[str], bool] | None = None) -> FileTable:
    """The cells of a file, by the ending of its name, in capitals or not.

    An empty cell of a csv or tsv file is null; a word such as `NA` is not.

    Args:
        known: whether a column may have this name; then the header tells a separator that `form` leaves open

    Raises:
        DataError: the file is missing, unreadable or empty, or of another format; the message names the remedy.
    """
    path, form = Path(path), form or TableFormat()
    suffix = path.suffix.lower()
    if not path.exists():
        raise DataError(f"{path} does not exist; set source.path to a {', '.join(SUFFIXES)} file")
    if suffix not in SUFFIXES:
        raise DataError(f"{path.name} ends in {suffix or 'nothing'}; sources end in {', '.join(SUFFIXES)}")
    if suffix == ".parquet":
        table = read_parquet_cells(path)
    else:
        table = parse_table(read_bytes(path), suffix, form, str(path), known)
    if table.frame.empty:
        raise DataError(f"{path} has no rows")
    return table


def parse_table(
    content: bytes, suffix: str, form: TableFormat, where: str, known: Callable[[str], bool] | None = None
) -> FileTable:
    """The cells of a file's bytes.

    Args:
        suffix: ending of a file's name in small letters, which is not `.parquet`
        where: what to call the file in an error
        known: as for `read_table`

    Raises:
        DataError: as `read_table`.
    """
    if suffix == ".xlsx":
        return read_spreadsheet(content, form, where)
    require_text(content, where)
    text = decode(content, form.encoding, where)
    if "\0" in text[:1000].replace("\0\0", "") and content[:2000].count(0) > len(content[:2000]) / 3:
        raise DataError(
            f"{where} holds a NUL in every other byte, as UTF-16 does; set source.format: {{encoding: utf-16-le}}"
        )
    if suffix in (".json", ".jsonl"):
        return read_json(text, where.rpartition("/")[2])
    usual = form.separator or _SEPARATORS[suffix]
    separator = usual
    if known is not None and form.separator is None:
        separator = separator_by_names(split_lines(text), form.quote, usual, known)
    table = read_delimited(text, form.model_copy(update={"separator": separator}), where)
    return table if separator == usual else replace(table, separator=separator)
