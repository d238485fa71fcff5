"""The table that every source gives, and its canonical form."""

import re
from dataclasses import dataclass

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError

BLANK = "blank"
NO_MAJORITY = "no majority"
HUMAN = "human"

# JSON can hold half of a surrogate pair. It has no UTF-8 form, so parquet could not store it.
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class SourceTable:
    """The rows of a source, their concepts, and where they come from.

    Attributes:
        frame: the canonical columns (see `tables`) and `split`, which is null where the source has no splits
        concept_set: the concepts and the label of the rows
        source: name of the kind of source
        licence: of the data
        files: name (without folder), sha256 and rows of each file
        training: what the split `train` comes from, for the error when it is absent
    """

    frame: pd.DataFrame
    concept_set: ConceptSet
    source: str
    licence: str
    files: tuple[dict, ...]
    training: str

    def manifest(self) -> dict:
        """Where the rows come from. It holds no paths."""
        return {
            "source": self.source,
            "licence": self.licence,
            "files": list(self.files),
            "vocabulary": self.concept_set.to_dict(),
        }


def text_cells(cells: pd.Series, numbers: bool = False) -> tuple[pd.Series, pd.Series]:
    """Cells as text, and what is wrong with cells that are not text.

    A cell with a fault becomes null. Lists and objects are always a fault.

    Args:
        numbers: whether numbers and truth values become text, as for labels, states and ids; else they are a fault

    Returns:
        Two series of strings: the cells, and the faults (null where there is none).
    """
    texts, faults = [], []
    for cell in cells.tolist():
        text = fault = None
        if isinstance(cell, str):
            text = _SURROGATE.sub("\ufffd", cell)
        elif isinstance(cell, list | tuple | dict | set) or hasattr(cell, "__array__"):
            fault = f"column {cells.name!r} holds a {type(cell).__name__}, not text"
        elif cell is None or pd.isna(cell):
            pass
        elif numbers and isinstance(cell, bool | int | float):
            # pandas reads a column of whole numbers with gaps as floats, so 4.0 means 4.
            text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
        else:
            fault = f"column {cells.name!r} holds {cell!r} ({type(cell).__name__}), not text"
        texts.append(text)
        faults.append(fault)
    return pd.Series(texts, index=cells.index, dtype="str"), pd.Series(faults, index=cells.index, dtype="str")


def canonical(frame: pd.DataFrame, concept_set: ConceptSet) -> pd.DataFrame:
    """Complete, order and type the columns of a source's rows.

    A row without a group is a group of its own. A cell without a source gets `human` if it is filled, else `blank`.
    """
    frame = frame.reset_index(drop=True).copy()
    for column in ("group", "edit_type", "split"):
        if column not in frame:
            frame[column] = None
    for concept in concept_set:
        source, confidence = f"source.{concept.name}", f"confidence.{concept.name}"
        if source not in frame:
            filled = frame[f"concept.{concept.name}"].notna()
            frame[source] = filled.map({True: HUMAN, False: BLANK})
        if confidence not in frame:
            frame[confidence] = None
    columns = ["id", "text", "label", "group", "edit_type", "file", "row", "split"]
    kinds = ("concept", "source", "confidence")
    columns += [f"{kind}.{name}" for name in concept_set.names for kind in kinds]
    columns += [f"cluster.{name}" for name in concept_set.names if f"cluster.{name}" in frame]
    shares = [column for column in share_columns(concept_set) if column in frame]
    if "fault" in frame and frame["fault"].notna().any():
        columns.append("fault")
    frame = frame[columns + shares]
    types = dict.fromkeys(columns, "str") | {"row": "int64"} | dict.fromkeys(shares, "float64")
    types |= {f"confidence.{name}": "float64" for name in concept_set.names}
    frame = frame.astype(types)
    return frame.assign(group=frame["group"].fillna(frame["id"]))


def share_columns(concept_set: ConceptSet) -> list[str]:
    """Names of the columns that hold the share of votes for each state of the label and of every concept."""
    variables = [("label", concept_set.label), *((concept.name, concept) for concept in concept_set)]
    return [f"share.{name}.{state}" for name, variable in variables for state in variable.states]


def require_columns(present: list[str], needed: list[str], where: str, remedy: str) -> None:
    """Insist that a table has the needed columns.

    Raises:
        DataError: a column is missing. The message names the table, the column, the present columns and the remedy.
    """
    missing = [column for column in needed if column not in present]
    if missing:
        raise DataError(f"{where} has no column {', '.join(map(repr, missing))}; it has {present}. {remedy}")
