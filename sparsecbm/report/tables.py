"""Tables of a page: plain cells of text, made from the figures that stages wrote."""

from collections.abc import Iterator, Mapping
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


def figure_tables(nested: Mapping, title: str = "Figures") -> list[Table]:
    """Any nested figures as tables, one or more a key; single figures make a table of their own, which comes first.

    Within a key, a mapping without mappings inside is a row, named by the keys that lead to it, and so is each mapping
    of a list. Rows of the same figures at the same depth share a table. What no cell can hold, such as the points of
    a curve, is left out.
    """
    single = {str(key): number(value) for key, value in nested.items() if _fits(value)}
    tables = [Table(title, ("", "value"), tuple(single.items()))] if single else []
    for key, value in nested.items():
        name = _words(key)
        found: dict[tuple[int, tuple[str, ...]], list[tuple[str, ...]]] = {}
        for path, figures in _rows(value):
            cells = tuple(number(each) for each in figures.values())
            found.setdefault((len(path), tuple(map(_words, figures))), []).append((*path, *cells))
        for (depth, header), rows in found.items():
            tables.append(Table(name.capitalize(), (*[""] * depth, *header), tuple(rows), depth))
    return tables


def _rows(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, object]]]:
    """Every mapping that holds figures, with the keys that lead to it."""
    if isinstance(value, list):
        value = {str(place): each for place, each in enumerate(value, 1) if isinstance(each, Mapping)}
    if isinstance(value, Mapping):
        figures = {str(key): each for key, each in value.items() if _fits(each)}
        if figures:
            yield path, figures
        for key, each in value.items():
            yield from _rows(each, (*path, str(key)))


def _fits(value: object) -> bool:
    """Whether a cell can hold a value: a single one, or a short list of single ones."""
    if isinstance(value, list):
        return len(value) <= 4 and not any(isinstance(each, Mapping | list) for each in value)
    return not isinstance(value, Mapping)


def _words(key: object) -> str:
    return str(key).replace("_", " ")
