"""Tables of a page: plain cells of text, made from the figures that stages wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MISSING = "–"
PROSE = 32  # letters; a longer cell is a sentence


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the first `named` columns say what a row is about, the others hold figures."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    named: int = 1

    @property
    def prose(self) -> set[int]:
        """Columns that hold sentences, which may wrap."""
        return {place for row in self.rows for place, cell in enumerate(row) if len(cell) > PROSE}


def number(value: object, digits: int = 3) -> str:
    """A figure as a cell: a dash for what is not defined, an interval as `low to high`, anything else as it is."""
    if value is None or (isinstance(value, list) and all(each is None for each in value)):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    if isinstance(value, list):
        return (" to " if len(value) == 2 else ", ").join(number(each, digits) for each in value)
    return str(value)


def matrix_table(title: str, corner: str, matrix: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Row name -> column name -> figure; every row has the columns of the first, and a gap where it lacks one."""
    columns = list(dict.fromkeys(column for row in matrix.values() for column in row))
    rows = tuple((name, *(number(row.get(column)) for column in columns)) for name, row in matrix.items())
    return Table(title, (corner, *columns), rows)


def leaf_tables(title: str, nested: Mapping, levels: Sequence[str] = ()) -> list[Table]:
    """Any nested figures as tables: a mapping without mappings inside is a row, named by the keys that lead to it.

    Rows of the same figures at the same depth share a table.

    Args:
        levels: what the keys of each level are, for the header, as far as they are known
    """
    tables: list[Table] = []
    found: dict[tuple[int, tuple[str, ...]], list[tuple[str, ...]]] = {}

    def visit(value: Mapping, path: tuple[str, ...]) -> None:
        inner = {str(key): each for key, each in value.items() if isinstance(each, Mapping)}
        flat = {str(key): number(each) for key, each in value.items() if str(key) not in inner and not _nested(each)}
        if flat and path:
            found.setdefault((len(path), tuple(flat)), []).append((*path, *flat.values()))
        elif flat:
            tables.append(Table(title, ("", "value"), tuple(flat.items())))
        for key, each in inner.items():
            visit(each, (*path, key))

    visit(nested, ())
    for (depth, keys), rows in found.items():
        header = (*_names(levels, depth), *(key.replace("_", " ") for key in keys))
        tables.append(Table(title, header, tuple(rows), depth))
    return tables


def _names(levels: Sequence[str], depth: int) -> tuple[str, ...]:
    return (*levels[:depth], *[""] * (depth - len(levels)))


def _nested(value: object) -> bool:
    """Whether a value is a list that no cell can hold: of mappings, of lists, or a long one."""
    return isinstance(value, list) and (len(value) > 4 or any(isinstance(each, Mapping | list) for each in value))
