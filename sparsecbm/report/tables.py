"""Tables of a page: plain cells of text, made from the figures that stages wrote."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MISSING = "–"
MAX_FIGURE = 32  # characters; a longer cell is a sentence
MAX_LIST = 4  # values in one cell
MAX_ROWS = 200  # of a table of nested figures


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the first `named` columns name a row, the others hold figures."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    named: int = 1

    @property
    def prose(self) -> set[int]:
        """Columns that hold sentences, which may wrap."""
        return {index for row in self.rows for index, cell in enumerate(row) if len(cell) > MAX_FIGURE}


def number(value: object, digits: int = 3) -> str:
    """A figure as a cell: a dash where it is undefined, an interval as `low to high`, any other value as text."""
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
    """Row name -> column name -> figure; all rows have the same columns, with a dash where a row lacks one."""
    columns = list(dict.fromkeys(column for row in matrix.values() for column in row))
    rows = tuple((name, *(number(row.get(column)) for column in columns)) for name, row in matrix.items())
    return Table(title, (corner, *columns), rows)


def figure_tables(nested: Mapping, title: str = "Figures") -> list[Table]:
    """Any nested figures as tables, one or more for each key; single figures share one table, which comes first.

    Within a key, a mapping that holds figures is a row, named by the keys that lead to it; so is each mapping in a
    list. Rows of the same figures at the same depth share a table, which shows the first `MAX_ROWS` of them. Values
    that fit no cell, such as the points of a curve, are left out.
    """
    single = {str(key): number(value) for key, value in nested.items() if _fits_cell(value)}
    tables = [Table(title, ("", "value"), tuple(single.items()))] if single else []
    for key, value in nested.items():
        name = _words(key)
        rows_by_form: dict[tuple[int, tuple[str, ...]], list[tuple[str, ...]]] = {}
        for path, figures in _rows(value):
            cells = tuple(number(each) for each in figures.values())
            rows_by_form.setdefault((len(path), tuple(map(_words, figures))), []).append((*path, *cells))
        for (depth, header), rows in rows_by_form.items():
            title = name.capitalize()
            if len(rows) > MAX_ROWS:
                title += f": the first {MAX_ROWS} of {len(rows):,} rows; the stage's file in metrics/ has all"
            tables.append(Table(title, (*[""] * depth, *header), tuple(rows[:MAX_ROWS]), depth))
    return tables


def _rows(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, object]]]:
    """Every mapping that holds figures, with the keys that lead to it."""
    if isinstance(value, list):
        value = {str(row): each for row, each in enumerate(value, 1) if isinstance(each, Mapping)}
    if isinstance(value, Mapping):
        figures = {str(key): each for key, each in value.items() if _fits_cell(each)}
        if figures:
            yield path, figures
        for key, each in value.items():
            yield from _rows(each, (*path, str(key)))


def _fits_cell(value: object) -> bool:
    """Whether a value is a single one, or a short list of single ones."""
    if isinstance(value, list):
        return len(value) <= MAX_LIST and not any(isinstance(each, Mapping | list) for each in value)
    return not isinstance(value, Mapping)


def _words(key: object) -> str:
    return str(key).replace("_", " ")
