"""Rows that are not what they seem: swallowed by a stray quote, or halves of a row that a line end cut."""

import csv
from collections.abc import Sequence

from sparsecbm.base.params import TableFormat
from sparsecbm.data.formats.records import Record


class RowShape:
    """What a row of a table looks like, learnt from its rows of one line.

    Args:
        records: all records of the table
        width: number of its columns
    """

    def __init__(self, records: Sequence[Record], width: int, form: TableFormat) -> None:
        self.width, self.form = width, form
        plain = [r.fields for r in records if len(r.lines) == 1 and r.error is None and len(r.fields) == width]
        columns = list(zip(*plain, strict=True)) if plain else [()] * width
        self.longest = [max(map(len, cells), default=0) for cells in columns]
        lengths = [sum(map(len, cells)) for cells in columns]
        self.text_column = lengths.index(max(lengths)) if width else 0
        # A column of categories has each value in one and a half rows, on average.
        self.categories = {
            index: set(cells) for index, cells in enumerate(columns) if cells and 3 * len(set(cells)) <= 2 * len(cells)
        }

    def swallows_rows(self, record: Record) -> bool:
        """Whether a line inside a quoted cell of the record is a whole row of the table by itself."""
        if len(record.lines) == 1 or self.width < 2:
            return False
        every = range(self.width)
        within = [index for index, cell in enumerate(record.fields) if "\n" in cell]
        after_first = every[within[0] + 1 :] if within and len(record.fields) == self.width else every
        before_last = every[: within[-1]] if within and len(record.fields) == self.width else every
        last = len(record.lines) - 1
        return any(
            self._is_row(line, after_first if number == 0 else before_last if number == last else every)
            for number, line in enumerate(record.lines)
        )

    def _is_row(self, line: str, considered: Sequence[int]) -> bool:
        """Whether a line has the fields of a row. Fields outside `considered` are in the record's own cells."""
        quote, separator = self.form.quote, self.form.separator
        bare = (line.replace(quote, "") if quote else line).replace("\r", " ")
        fields = next(csv.reader([bare], delimiter=separator, quoting=csv.QUOTE_NONE), [])
        if len(fields) != self.width or not considered:
            return False
        known = [index for index in considered if index in self.categories]
        if known and 2 * sum(fields[index] in self.categories[index] for index in known) >= len(known):
            return True
        # In prose a blank follows a comma; in a row of a table the next cell does.
        if any(not cell or cell[0].isspace() for cell in fields):
            return False
        return all(
            index == self.text_column or len(fields[index]) <= max(8, self.longest[index]) for index in considered
        )

    def halves(self, records: Sequence[Record], swallowing: Sequence[bool]) -> dict[int, int]:
        """Records that are probably the other half of a record with too few fields, by index, with its index.

        A line end in a text without quotes cuts its row. If the text is the first cell, the second half has all
        fields of a row, and so has the first half, if the text is the last cell.

        Args:
            swallowing: whether each record swallows rows; then it is no half
        """
        step = {0: 1, self.width - 1: -1}.get(self.text_column)
        if step is None or self.width < 2:
            return {}
        short = [
            index
            for index, record in enumerate(records)
            if record.error is None and len(record.fields) < self.width and not swallowing[index]
        ]
        neighbours = {index + step: index for index in short if 0 <= index + step < len(records)}
        return {other: index for other, index in neighbours.items() if len(records[other].fields) == self.width}
