"""Tables of characters: csv and tsv. The number of fields of each record is checked before any cell is used."""

from collections.abc import Sequence

import pandas as pd

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import TableFormat
from sparsecbm.data.formats.dialect import declared_separator, describe
from sparsecbm.data.formats.file_table import BrokenRow, FileTable, require_distinct
from sparsecbm.data.formats.records import Record, parse_records, split_lines
from sparsecbm.data.formats.swallowed_rows import RowShape


def read_delimited(text: str, form: TableFormat, where: str) -> FileTable:
    """The cells of a csv or tsv text; those of broken rows are left to `FileTable.broken`.

    Args:
        form: with its separator set
        where: what to call the text in an error

    Raises:
        DataError: there is no header, a name occurs twice, a quote never closes, or most rows do not fit the header.
    """
    lines = split_lines(text)
    skipped = form.header - 1
    declared = declared_separator(lines[0]) if lines else None
    if declared and not skipped:
        form, skipped = form.model_copy(update={"separator": declared}), 1
    records = list(parse_records(lines[max(skipped, 0) :], form, max(skipped, 0) + 1, where))
    if not records and form.header > 1 and any(line.strip() for line in lines):
        raise DataError(f"{where} has {len(lines)} lines, and source.format.header names line {form.header}")
    if not records:
        raise DataError(f"{where} is empty")
    header, rows = records[0], records[1:]
    if form.header == 0:
        header, rows = Record([str(n + 1) for n in range(len(header.fields))], [], 0), records
    hint = describe(lines, form)
    if header.error:
        raise DataError(f"{where}, {header.location} (the header): {header.error}. {hint}".rstrip())
    names, rows = _without_empty_end(header.fields, _without_blanks(rows, len(header.fields)))
    names = [name or f"Unnamed: {index}" for index, name in enumerate(names)]
    require_distinct(names, where)
    if not rows:
        raise DataError(f"{where} has no rows")
    rows, broken = _sort_out(rows, names, form)
    if 2 * len(broken) > len(rows):
        if not hint and all(len(row.fields) == len(names) + 1 for row in rows):
            hint = "Each row begins with a cell for which the header has no name, as R writes tables; add a name there"
        message = next(iter(broken.values())).message
        remedy = hint or "Correct the header, or the rows"
        raise DataError(
            f"{where} is not a readable table: {len(broken)} of {len(rows)} rows do not fit its header; {message}; "
            f"quote cells that hold {form.separator!r}. {remedy}"
        )
    cells = [[None] * len(names) if number in broken else row.fields for number, row in enumerate(rows, start=1)]
    columns = {
        name: pd.Series([cell or None for cell in column], dtype="str")
        for name, column in zip(names, zip(*cells, strict=True), strict=True)
    }
    return FileTable(pd.DataFrame(columns), broken, hint, _places(rows, header, hidden=declared is not None))


def _places(rows: Sequence[Record], header: Record, hidden: bool) -> list[str]:
    """Where each row stands: its line, and its row in a spreadsheet where that is another number.

    Args:
        hidden: whether the first line is one that spreadsheets do not show
    """
    places, more = [], max(len(header.lines) - 1, 0) + hidden
    for row in rows:  # `more` lines stand above a row than rows of a spreadsheet
        shown, more = row.start - more, more + len(row.lines) - 1
        same = shown == row.start == row.end
        places.append(row.location if same else f"{row.location}; row {shown} in a spreadsheet")
    return places


def _without_blanks(records: Sequence[Record], width: int) -> list[Record]:
    """The records without lines of white space, and without those at the end that hold only separators, too."""
    rows = [r for r in records if r.error or width == 1 or len(r.fields) > 1 or r.fields[0].strip()]
    while rows and rows[-1].error is None and not any(cell.strip() for cell in rows[-1].fields):
        rows.pop()
    return rows


def _without_empty_end(names: list[str], rows: list[Record]) -> tuple[list[str], list[Record]]:
    """Header and rows without columns at their end that have neither a name nor a cell.

    Every row may end in a separator, whether the header does or not.
    """
    width = len(names)
    while width > 1 and not names[width - 1] and all(not cell for row in rows for cell in row.fields[width - 1 :]):
        width -= 1
    longer = [row for row in rows if len(row.fields) > width]
    trailing = longer and not any(cell for row in longer for cell in row.fields[width:])
    if trailing and (len(longer) == len(rows) or width < len(names)):
        rows = [Record(row.fields[:width], row.lines, row.start, row.error) for row in rows]
    return names[:width], rows


def _sort_out(
    records: Sequence[Record], names: list[str], form: TableFormat
) -> tuple[list[Record], dict[int, BrokenRow]]:
    """The rows, and the broken ones among them by number. Each line that a stray quote swallowed is a broken row."""
    width = len(names)
    shape = RowShape(records, width, form)
    # The number of each record's first row, which swallowed rows shift.
    numbers, number = [], 1
    swallowing = [shape.swallows_rows(record) for record in records]
    halves = shape.halves(records, swallowing)
    for record, swallows in zip(records, swallowing, strict=True):
        numbers.append(number)
        number += len(record.lines) if swallows else 1
    rows: list[Record] = []
    broken: dict[int, BrokenRow] = {}
    for index, record in enumerate(records):
        number = numbers[index]
        if swallowing[index]:
            last = number + len(record.lines) - 1
            message = (
                f"rows {number} to {last} ({record.location}) are one cell, from a quote in line {record.start} to one "
                f"in line {record.end}; remove the stray quote, or write it twice inside a quoted cell"
            )
            for offset, line in enumerate(record.lines):
                rows.append(Record([line], [line], record.start + offset))
                broken[number + offset] = BrokenRow(line, message)
            continue
        rows.append(record)
        raw = "\n".join(record.lines)
        if record.error:
            broken[number] = BrokenRow(raw, f"row {number} ({record.location}): {record.error}")
        elif len(record.fields) != width:
            message = f"row {number} ({record.location}) has {len(record.fields)} field(s), the header has {width}"
            broken[number] = BrokenRow(raw, message)
        elif width > 1 and record.fields == names:
            broken[number] = BrokenRow(raw, f"row {number} ({record.location}) repeats the header")
        elif index in halves:
            short = records[halves[index]]
            message = (
                f"row {number} ({record.location}) is probably the other half of row {numbers[halves[index]]}, which "
                f"has {len(short.fields)} field(s) where the header has {width}: a line end cut a text without quotes"
            )
            broken[number] = BrokenRow(raw, message)
    return rows, broken
