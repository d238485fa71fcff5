"""Spreadsheets: one sheet of an xlsx file."""

import io
from typing import Any

import pandas as pd

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import TableFormat
from sparsecbm.data.formats.file_table import BrokenRow, FileTable, require_distinct


def read_spreadsheet(content: bytes, form: TableFormat, where: str) -> FileTable:
    """The cells of one sheet of an xlsx file, with the values that formulas had when it was saved.

    Raises:
        DataError: openpyxl is not installed, the file is no workbook, it has no such sheet, or a name occurs twice.
    """
    try:
        import openpyxl  # needed by this format alone
    except ImportError:
        raise DataError(
            f"{where}: an xlsx file needs openpyxl: pip install 'sparsecbm[xlsx]'; or save it as UTF-8 csv"
        ) from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except Exception as error:  # openpyxl and zipfile raise many kinds
        raise DataError(f"{where} is not a readable xlsx file: {error}") from None
    names = book.sheetnames
    if form.sheet is not None and form.sheet not in names:
        raise DataError(f"{where} has no sheet {form.sheet!r}; it has {', '.join(map(repr, names))}")
    try:
        rows = [list(row) for row in book[form.sheet or names[0]].iter_rows(values_only=True)]
    except Exception as error:  # a sheet that is no XML
        raise DataError(f"{where} is not a readable xlsx file: {error}") from None
    return _table(rows, form.header, where)


def _table(rows: list[list[Any]], header: int, where: str) -> FileTable:
    width = max((index + 1 for row in rows for index, cell in enumerate(row) if cell is not None), default=0)
    rows = [(row + [None] * width)[:width] for row in rows]
    while rows and all(cell is None for cell in rows[-1]):
        rows.pop()
    if len(rows) <= header or not width:
        raise DataError(f"{where} has no rows")
    top = rows[header - 1] if header else list(range(1, width + 1))
    names = [f"Unnamed: {index}" if name is None else str(name) for index, name in enumerate(top)]
    require_distinct(names, where)
    body = rows[header:]
    places = [f"row {number} of the sheet" for number in range(header + 1, len(rows) + 1)]
    broken = {
        number: BrokenRow("\t".join(names), f"row {number} ({places[number - 1]}) repeats the header")
        for number, row in enumerate(body, start=1)
        if header and width > 1 and row == top
    }
    body = [[None] * width if number in broken else row for number, row in enumerate(body, start=1)]
    frame = pd.DataFrame(
        {name: pd.Series([row[index] for row in body], dtype=object) for index, name in enumerate(names)}
    )
    hint = ""
    if header and sum(name.startswith("Unnamed: ") for name in names) > width / 2:
        full = next((n for n, row in enumerate(rows, start=1) if all(cell is not None for cell in row)), None)
        if full is not None and full > header:
            hint = f"It looks as if it has its header in row {full}; then set source.format: {{header: {full}}}"
    return FileTable(frame, broken, hint, places)
