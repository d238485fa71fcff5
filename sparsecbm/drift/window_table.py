"""New texts in a table, with the labels that people gave some of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import DataError, unknown
from sparsecbm.base.files import sha256_file
from sparsecbm.base.metrics import MISSING
from sparsecbm.data.formats.file_table import shortened
from sparsecbm.data.formats.reader import SUFFIXES, read_table
from sparsecbm.data.formats.settings_advice import without_settings
from sparsecbm.data.lookalikes import fold_lookalikes
from sparsecbm.data.source_table import text_cells
from sparsecbm.data.text_quality import is_blank
from sparsecbm.drift.outputs import LABEL


@dataclass(frozen=True, eq=False)
class WindowTable:
    """New texts.

    Attributes:
        texts: in the order of the file
        gold: variable (a concept, or `label`) -> [texts], indices of annotated states, -100 where there is none; only
            variables that have a column
        sha256: of the file
    """

    texts: list[str]
    gold: dict[str, np.ndarray]
    sha256: str


def read_window(path: Path, concept_set: ConceptSet, column: str = "text") -> WindowTable:
    """Read a table of texts, whose other columns may hold states of concepts and the label under their names.

    A column may also be called `concept.NAME` or `label`, as in the tables of the pipeline. Other columns are ignored.

    Args:
        column: of the texts

    Raises:
        DataError: the file cannot be read, has no such column, or a cell holds no text or an unknown state; the message
            names column and row.
    """
    path = Path(path)
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        fault = "ends in none of" if path.is_file() else "is no file; name one that ends in"
        raise DataError(f"{path} {fault} {', '.join(SUFFIXES)}")
    try:
        table = read_table(path, known=column.__eq__)
    except DataError as error:
        raise DataError(without_settings(str(error))) from None
    table.require_whole(str(path))
    if column not in table.frame:
        listed = ", ".join(shortened(list(table.frame.columns)))
        raise DataError(f"{path} has no column {column!r}; it has {listed}; name the column of the texts by --column")
    columns = {LABEL: (concept_set.label, (concept_set.label.name, "label"))}
    columns |= {concept.name: (concept, (concept.name, f"concept.{concept.name}")) for concept in concept_set}
    gold = {}
    for name, (variable, spellings) in columns.items():
        present = next((spelling for spelling in spellings if spelling in table.frame), None)
        if present is not None:
            gold[name] = _state_indices(table.frame[present], variable, str(path))
    return WindowTable(_texts_in(table.frame[column], str(path)), gold, sha256_file(path))


def _texts_in(cells: pd.Series, where: str) -> list[str]:
    texts, faults = text_cells(cells)
    empty = texts.isna() | is_blank(texts)
    faults = faults.mask(faults.isna() & empty, f"column {cells.name!r} holds no text; remove the row")
    _refuse(faults, where)
    return texts.tolist()


def _state_indices(cells: pd.Series, variable: Concept, where: str) -> np.ndarray:
    states, faults = text_cells(cells, numbers=True)
    states = fold_lookalikes(states.mask(is_blank(states)), variable.states)
    wrong = states.notna() & ~states.isin(variable.states)
    messages = states[wrong].map(lambda state: unknown(f"state of {variable.name!r}", state, variable.states))
    _refuse(faults.where(~wrong, messages), where)
    return states.map({state: index for index, state in enumerate(variable.states)}).fillna(MISSING).to_numpy(np.int64)


def _refuse(faults: pd.Series, where: str) -> None:
    if faults.notna().any():
        first = faults.first_valid_index()
        raise DataError(f"{where}, row {first + 1}: {faults[first]}")
