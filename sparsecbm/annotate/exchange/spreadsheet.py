"""Tables for spreadsheets: a row for each text and author, and a column `concept.NAME` to fill in for each concept."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sparsecbm.annotate.exchange.rows import CANNOT_DECIDE, ExchangedRow
from sparsecbm.annotate.human_labels import Decision, decisions_by_text
from sparsecbm.annotate.labelled_texts import LabelledTexts
from sparsecbm.base.errors import DataError
from sparsecbm.data.csv_output import without_apostrophe
from sparsecbm.data.formats.file_table import FileTable, shortened
from sparsecbm.data.formats.reader import read_table
from sparsecbm.data.formats.settings_advice import without_settings
from sparsecbm.data.source_table import text_cells

PREFIX = "concept."
COLUMNS = ("key", "split", "text", "author", "at")


def export_rows(texts: LabelledTexts, decisions: Iterable[Decision]) -> list[dict]:
    """A row for each text and person who labelled it; texts without decisions have a row to fill in."""
    by_text = decisions_by_text(decisions)
    rows = []
    for row in texts.frame.itertuples():
        for author, made in by_text.get(row.key, {"": []}).items():
            states = {d.concept: CANNOT_DECIDE if d.state is None else d.state for d in made}
            at = max((d.at for d in made), default="")
            signed = {"key": row.key, "split": row.split, "text": row.text, "author": author, "at": at}
            rows.append(signed | {f"{PREFIX}{c.name}": states.get(c.name, "") for c in texts.concepts})
    return rows


def read_rows(path: Path) -> list[ExchangedRow]:
    """The decisions in a csv, tsv or xlsx file with the columns of `export_rows`. Empty cells are no decisions.

    Spreadsheets write csv files with semicolons in many countries, so the header tells the separator.

    Raises:
        DataError: the file cannot be read, or has no column `concept.NAME`, or neither `key` nor `text`.
    """
    try:
        table = read_table(path, known=_is_known)
    except DataError as error:
        raise DataError(without_settings(str(error))) from None
    table.require_whole(str(path))
    frame = table.frame.rename(columns=without_apostrophe)
    concepts = [column for column in frame if column.startswith(PREFIX)]
    if not concepts or not {"key", "text"} & set(frame):
        raise DataError(
            f"{path} has the columns {', '.join(map(repr, shortened(list(frame))))}; its first line needs `key` or "
            f"`text`, and `{PREFIX}NAME` for each concept; `sparsecbm annotate export --format csv` writes such a file"
        )
    names = [name for name in (*COLUMNS, *concepts) if name in frame]
    cells = pd.DataFrame({name: _cells(frame[name], table, path) for name in names}).to_dict("records")
    return [
        ExchangedRow(
            f"{path}, {table.row(number)}",
            *(row.get(name, "") for name in ("key", "text", "author", "at")),
            {name.removeprefix(PREFIX): row[name] for name in concepts if row[name]},
            tuple(name.removeprefix(PREFIX) for name in concepts if not row[name]),
        )
        for number, row in enumerate(cells, start=1)
    ]


def _is_known(name: str) -> bool:
    return name in COLUMNS or name.startswith(PREFIX)


def _cells(column: pd.Series, table: FileTable, path: Path) -> list[str]:
    """The cells of a column as texts; an empty one is an empty text."""
    texts, faults = text_cells(column, numbers=True)
    if faults.notna().any():
        first = faults.first_valid_index()
        raise DataError(f"{path}, {table.row(first + 1)}: {faults[first]}")
    return [without_apostrophe(text).strip() for text in texts.fillna("")]
