"""From any table to canonical rows, by a column mapping. The sources `table` and `hub` share it."""

from collections.abc import Mapping as AnyMapping
from pathlib import PurePosixPath

import pandas as pd

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import Mapping
from sparsecbm.data.formats.file_table import BrokenRow, FileTable
from sparsecbm.data.lookalikes import fold_lookalikes
from sparsecbm.data.source_table import BROKEN_ROW, no_state, require_columns, text_cells
from sparsecbm.data.text_quality import is_blank


def mapped_columns(columns: Mapping) -> list[str]:
    """All columns that a mapping names."""
    optional = [columns.id, columns.split, columns.group]
    concepts = [concept.column for concept in columns.concepts.values()]
    return [columns.text, columns.label, *concepts, *(name for name in optional if name)]


def map_rows(table: FileTable | pd.DataFrame, columns: Mapping, file: str) -> pd.DataFrame:
    """Canonical columns of a table's rows: with `split` if the mapping names one, and with `fault`.

    A cell that looks like a named state, but for case, blanks, Unicode form or style of numbers, becomes this state.
    A cell that shows nothing, apart from a text, is empty.

    Raises:
        DataError: a mapped column is absent, or the text column holds no texts.
    """
    if isinstance(table, pd.DataFrame):
        table = FileTable(table)
    cells_of = table.frame
    remedy = f"Correct the names under source.columns. {table.hint}".rstrip()
    require_columns(list(cells_of.columns), mapped_columns(columns), file, remedy)
    text, fault = text_cells(cells_of[columns.text])
    if text.isna().all():
        first = fault.dropna()
        reason = first.iloc[0] if len(first) else f"column {columns.text!r} is empty"
        raise DataError(f"{file}: {reason}; point source.columns.text at the column with the texts")
    faults = [fault]
    frame = pd.DataFrame({"text": text})
    cells = {"label": columns.label, "id": columns.id, "group": columns.group, "split": columns.split}
    cells |= {f"concept.{name}": concept.column for name, concept in columns.concepts.items()}
    states = {"label": columns.labels} | {f"concept.{n}": concept.states for n, concept in columns.concepts.items()}
    for name, column in cells.items():
        if column is None:
            continue
        kept, fault = text_cells(cells_of[column], numbers=True)
        kept = kept.mask(is_blank(kept))
        if states.get(name) is not None:
            kept = fold_lookalikes(kept, states[name])
        elif name in states:
            damaged = kept.map(no_state, na_action="ignore").fillna(False).astype(bool)
            fault = fault.mask(damaged, "column " + repr(column) + " holds " + kept + ", which is no state")
            kept = kept.mask(damaged)
        frame[name] = kept
        faults.append(fault)
    frame["fault"] = pd.concat(faults, axis=1).bfill(axis=1).iloc[:, 0]
    frame = frame.assign(file=file, row=range(1, len(frame) + 1))
    if columns.id is None:
        stem = PurePosixPath(file).stem
        frame["id"] = [f"{stem}-{row}" for row in frame["row"]]
    if columns.split is not None:
        frame["split"] = frame["split"].replace(columns.splits)
    return _mark_broken(frame, table.broken, file)


def _mark_broken(frame: pd.DataFrame, broken: AnyMapping[int, BrokenRow], file: str) -> pd.DataFrame:
    """Rows whose cells cannot be told apart keep their characters as text, so that a person can find them."""
    if not broken:
        return frame
    at = [number - 1 for number in broken]
    frame.loc[at, "text"] = [row.raw for row in broken.values()]
    frame.loc[at, "fault"] = [f"{BROKEN_ROW}: {row.message}" for row in broken.values()]
    frame.loc[at, "id"] = [f"{PurePosixPath(file).stem}-{number}" for number in broken]
    if "split" in frame and frame["split"].notna().any():
        frame.loc[at, "split"] = frame["split"].mode().iloc[0]
    return frame
