"""From any table to canonical rows, by a column mapping. The sources `table` and `hub` share it."""

import math
from pathlib import PurePosixPath

import pandas as pd

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.params import Mapping
from sparsecbm.data.source_table import require_columns, text_cells


def mapped_columns(columns: Mapping) -> list[str]:
    """All columns that a mapping names."""
    optional = [columns.id, columns.split, columns.group]
    concepts = [concept.column for concept in columns.concepts.values()]
    return [columns.text, columns.label, *concepts, *(name for name in optional if name)]


def map_rows(table: pd.DataFrame, columns: Mapping, file: str) -> pd.DataFrame:
    """Canonical columns of a table's rows: with `split` if the mapping names one, and with `fault`.

    Raises:
        DataError: a mapped column is absent, or the text column holds no texts.
    """
    remedy = "Correct the names under source.columns."
    require_columns(list(table.columns), mapped_columns(columns), file, remedy)
    text, fault = text_cells(table[columns.text])
    if text.isna().all():
        first = fault.dropna()
        reason = first.iloc[0] if len(first) else f"column {columns.text!r} is empty"
        raise DataError(f"{file}: {reason}; point source.columns.text at the column with the texts")
    faults = [fault]
    frame = pd.DataFrame({"text": text})
    cells = {"label": columns.label, "id": columns.id, "group": columns.group, "split": columns.split}
    cells |= {f"concept.{name}": concept.column for name, concept in columns.concepts.items()}
    for name, column in cells.items():
        if column is None:
            continue
        kept, fault = text_cells(table[column], numbers=True)
        frame[name] = kept.mask(kept == "")
        faults.append(fault)
    frame["fault"] = pd.concat(faults, axis=1).bfill(axis=1).iloc[:, 0]
    frame = frame.assign(file=file, row=range(1, len(table) + 1))
    if columns.id is None:
        stem = PurePosixPath(file).stem
        frame["id"] = [f"{stem}-{row}" for row in frame["row"]]
    if columns.split is not None:
        frame["split"] = frame["split"].replace(columns.splits)
    return frame


def vocabulary(frame: pd.DataFrame, columns: Mapping, file: str) -> ConceptSet:
    """The concept set of mapped rows. States come from the mapping; where it has none, from the rows.

    Raises:
        DataError: a variable has fewer than two states, or one twice.
    """

    def concept_of(name: str, states: tuple[str, ...] | None, cells: pd.Series, column: str, key: str) -> Concept:
        origin = "set"
        if states is None:
            states, origin = tuple(sorted(cells.dropna().unique(), key=_order)), "not set, so the rows give the states"
        try:
            return Concept(name, states)
        except ConfigError as error:
            raise DataError(f"{file}, column {column!r}: {error} (source.columns.{key} is {origin})") from None

    concepts = tuple(
        concept_of(name, concept.states, frame[f"concept.{name}"], concept.column, f"concepts.{name}.states")
        for name, concept in columns.concepts.items()
    )
    label = concept_of(columns.label, columns.labels, frame["label"], columns.label, "labels")
    return ConceptSet(concepts, label)


def _order(state: str) -> tuple[bool, float, str]:
    """Sorts numbers first and by size, then words by the alphabet."""
    try:
        number = float(state)
    except ValueError:
        number = math.nan
    return (False, number, state) if math.isfinite(number) else (True, 0.0, state)
