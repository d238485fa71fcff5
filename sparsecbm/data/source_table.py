"""What every source yields, and how a source's rows get their canonical form."""

import re
from dataclasses import dataclass

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError

BLANK = "blank"
NO_MAJORITY = "no majority"
HUMAN = "human"

# A lone half of a surrogate pair (JSON can hold one) has no UTF-8 form; parquet could not store it.
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class SourceTable:
    """The rows of a source, what they are about, and where they come from.

    `frame` has the canonical columns (see `tables`) plus `split`, which is null where the source has none.
    """

    frame: pd.DataFrame
    concept_set: ConceptSet
    source: str
    licence: str
    files: tuple[dict, ...]  # name (without folder), sha256, rows
    training: str  # what the split `train` is read from, for the message when it is absent

    def manifest(self) -> dict:
        """Where the rows come from, free of paths."""
        return {
            "source": self.source,
            "licence": self.licence,
            "files": list(self.files),
            "vocabulary": self.concept_set.to_dict(),
        }


def text_cells(cells: pd.Series, numbers: bool = False) -> tuple[pd.Series, pd.Series]:
    """Cells as text, and what is wrong with those that are not.

    Numbers and truth values become text where `numbers` allows it (labels, states, ids); elsewhere, and for
    lists and objects everywhere, the cell turns null and its fault says what it was.

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
            # A column of whole numbers with gaps is read as floats: 4.0 means 4.
            text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
        else:
            fault = f"column {cells.name!r} holds {cell!r} ({type(cell).__name__}), not text"
        texts.append(text)
        faults.append(fault)
    return pd.Series(texts, index=cells.index, dtype="str"), pd.Series(faults, index=cells.index, dtype="str")


def canonical(frame: pd.DataFrame, concept_set: ConceptSet) -> pd.DataFrame:
    """Complete, order and type the columns of a source's rows.

    A row without a group is a group of its own. A cell without a source is a person's where it is filled,
    and blank where it is not.
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
    strings = ["id", "text", "label", "group", "edit_type", "file", "row", "split"]
    kinds = ("concept", "source", "confidence")
    strings += [f"{kind}.{name}" for name in concept_set.names for kind in kinds]
    strings += [f"cluster.{name}" for name in concept_set.names if f"cluster.{name}" in frame]
    shares = [column for column in share_columns(concept_set) if column in frame]
    if "fault" in frame and frame["fault"].notna().any():
        strings.append("fault")
    frame = frame[strings + shares]
    types = dict.fromkeys(strings, "str") | {"row": "int64"} | dict.fromkeys(shares, "float64")
    types |= {f"confidence.{name}": "float64" for name in concept_set.names}
    frame = frame.astype(types)
    return frame.assign(group=frame["group"].fillna(frame["id"]))


def share_columns(concept_set: ConceptSet) -> list[str]:
    """Columns that hold the share of the votes for each state of the label and of every concept."""
    variables = [("label", concept_set.label), *((concept.name, concept) for concept in concept_set)]
    return [f"share.{name}.{state}" for name, variable in variables for state in variable.states]


def require_columns(present: list[str], wanted: list[str], where: str, remedy: str) -> None:
    """A missing column is an error that names the file, the column, those that are there, and the remedy."""
    missing = [column for column in wanted if column not in present]
    if missing:
        raise DataError(f"{where} has no column {', '.join(map(repr, missing))}; it has {present}. {remedy}")
