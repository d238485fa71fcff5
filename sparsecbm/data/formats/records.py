"""The records of a csv or tsv text: their fields, and the lines that they stand in."""

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import TableFormat

MAX_RECORD = 1 << 24  # characters
_LONE_RETURN = re.compile(r"\r(?!\n)")
# The parser ends a record at a return without a line feed, so it is shown a character that no decoded text holds.
_STAND_IN = "\ud800"
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


def parse_records(lines: Iterable[str], form: TableFormat, first: int, where: str) -> Iterator[Record]:
    """The records in `lines`, which begin with line `first` of the file. Empty lines are no records.

    Lines are taken as records are, so a file need not be in memory.

    Raises:
        DataError: a quote never closes, or closes in the middle of a cell some lines later: then nobody can say which
            of these lines are rows.
    """
    csv.field_size_limit(sys.maxsize)
    taken: list[str] = []  # the lines of the current record

    def shown() -> Iterator[str]:
        size = 0
        for line in lines:
            size = len(line) + (size if taken else 0)
            if size > MAX_RECORD:
                raise DataError(
                    f"{where}, line {start + first}: a row of more than {MAX_RECORD:,} characters begins here; a quote "
                    "may open in it and never close"
                )
            taken.append(line)
            yield _LONE_RETURN.sub(_STAND_IN, line + "\n")

    quoting = {"quotechar": form.quote} if form.quote else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(shown(), delimiter=form.separator, strict=True, skipinitialspace=form.skip_blanks, **quoting)
    while True:
        start = reader.line_num
        taken.clear()
        try:
            fields, error = next(reader), None
        except StopIteration:
            return
        except csv.Error as fault:
            fields, error = [], _explain(fault, taken, form.quote, start + first, where)
        if fields or error:
            cells = [field.replace(_STAND_IN, "\r") for field in fields]
            yield Record(cells, [line.rstrip("\r") for line in taken], start + first, error)


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
