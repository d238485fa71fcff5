"""The records of a csv or tsv text: their fields, and the lines that they stand in."""

import csv
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import TableFormat

_LONE_RETURN = re.compile(r"\r(?!\n)")
_CLOSES_EARLY = "a quote closes in the middle of a cell; inside a quoted cell, write each quote twice"


@dataclass(frozen=True)
class Record:
    """One record of a text.

    Attributes:
        fields: its cells
        lines: its lines in the text, without their ends
        start: number of its first line, from 1
        error: why its fields are wrong; None if they can be told apart
    """

    fields: list[str]
    lines: list[str]
    start: int
    error: str | None = None

    @property
    def end(self) -> int:
        """Number of its last line."""
        return self.start + len(self.lines) - 1

    @property
    def location(self) -> str:
        """Its lines, for messages."""
        return f"line {self.start}" if len(self.lines) == 1 else f"lines {self.start} to {self.end}"


def split_lines(text: str) -> list[str]:
    """The lines of a text without their line feeds. A return alone ends lines only where there is no line feed."""
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def parse_records(lines: list[str], form: TableFormat, first: int, where: str) -> Iterator[Record]:
    """The records in `lines`, which begin with line `first` of the file. Empty lines are no records.

    Raises:
        DataError: a quote never closes, or closes in the middle of a cell some lines later: then nobody can say which
            of these lines are rows.
    """
    csv.field_size_limit(sys.maxsize)
    # The parser ends a record at a return without a line feed; so it is shown another character.
    stand_in = next(chr(code) for code in range(0xE000, 0xF8FF) if not any(chr(code) in line for line in lines))
    shown = [_LONE_RETURN.sub(stand_in, line + "\n") for line in lines]
    quoting = {"quotechar": form.quote} if form.quote else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(shown, delimiter=form.separator, strict=True, skipinitialspace=form.skip_blanks, **quoting)
    while True:
        start = reader.line_num
        try:
            fields, error = next(reader), None
        except StopIteration:
            return
        except csv.Error as fault:
            fields, error = [], _explain(fault, lines[start : reader.line_num], form.quote, start + first, where)
        if fields or error:
            cells = [field.replace(stand_in, "\r") for field in fields]
            yield Record(cells, [line.rstrip("\r") for line in lines[start : reader.line_num]], start + first, error)


def _explain(fault: csv.Error, lines: list[str], quote: str, start: int, where: str) -> str:
    if "unexpected end of data" in str(fault):
        raise DataError(
            f"{where}, line {start}: a quote opens in this row and never closes; close it, or remove it"
        ) from None
    if len(lines) > 1 or lines[0].count(quote) % 2:
        lines_of = f"line {start}" if len(lines) == 1 else f"lines {start} to {start + len(lines) - 1}"
        raise DataError(
            f"{where}, {lines_of}: a quote opens in line {start}, and {_CLOSES_EARLY}; or remove the stray quote"
        ) from None
    return _CLOSES_EARLY
