"""What every format gives: columns of cells, and the rows that are no rows of this table."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from sparsecbm.base.errors import DataError

MAX_LISTED = 5
MAX_NAMES, MAX_NAME = 40, 60


@dataclass(frozen=True)
class BrokenRow:
    """A row whose cells cannot be told apart.

    Attributes:
        raw: its characters in the file
        message: what is wrong, with its row number and lines
    """

    raw: str
    message: str


@dataclass(frozen=True)
class FileTable:
    """The cells of a file.

    Attributes:
        frame: columns of the file's own cells (text, numbers, lists, ...); an empty cell is null
        broken: row number, from 1 -> the broken row; its cells are null in `frame`
        hint: what the file looks like, if it does not look like what it was read as; else empty
        places: where each row stands in the file, for messages; none if its format has no lines and no sheets
        separator: between the cells, if the header told one that is unusual for the ending of the file; else empty
    """

    frame: pd.DataFrame
    broken: dict[int, BrokenRow] = field(default_factory=dict)
    hint: str = ""
    places: Sequence[str] = ()
    separator: str = ""

    def row(self, number: int) -> str:
        """A row, counted from 1 below the header, and its place, for messages."""
        return f"row {number} ({self.places[number - 1]})" if self.places else f"row {number}"

    def require_whole(self, file: str) -> None:
        """Insist that no row is broken.

        Raises:
            DataError: a row is; the message lists the first ones.
        """
        if self.broken:
            lines = [f"  {row.message}" for row in list(self.broken.values())[:MAX_LISTED]]
            more = len(self.broken) - len(lines)
            lines += [f"  and {more} more"] if more > 0 else []
            raise DataError("\n".join([f"{file} has {len(self.broken)} broken row(s):", *lines]))


def require_distinct(names: Sequence[str], file: str) -> None:
    """Insist that no name of a column occurs twice.

    Raises:
        DataError: one does; the message names both columns.
    """
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if name in first:
            raise DataError(
                f"{file}: columns {first[name]} and {number} are both named {name[:MAX_NAME]!r}; rename or remove one "
                "of them, so that it is clear which one is meant"
            )
        first[name] = number


def shortened(names: Sequence[object]) -> list[str]:
    """The first names of columns, cut for a message."""
    listed = [str(name)[:MAX_NAME] for name in names[:MAX_NAMES]]
    return [*listed, "..."] if len(names) > MAX_NAMES else listed
