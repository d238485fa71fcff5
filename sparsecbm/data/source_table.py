"""The table that every source gives, and its canonical form."""

import datetime
import math
import re
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.data.formats.file_table import shortened
from sparsecbm.data.formats.json_rows import SURROGATE
from sparsecbm.data.tables import DEFINITIONS

BLANK = "blank"
NO_MAJORITY = "no majority"
UNDECIDED = "undecided"
HUMAN = "human"

# What the fault of a row begins with, if it is not the type of a cell.
BROKEN_ROW, DAMAGED = "broken row", "damaged"
_DAMAGE = re.compile(r"[\ufffd\x00-\x08\x0e-\x1f\x7f-\x9f]")
_NO_STATE = re.compile(r"[+-]?(inf|infinity|nan)|#(N/A|VALUE!|REF!|DIV/0!|NAME\?|NUM!|NULL!)", re.IGNORECASE)
_EXACT = 2**53  # above it, floats skip whole numbers


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
        faults: what is wrong with whole columns, by the column of `frame`; a stand-in takes its place in `concept_set`
        definitions: concept -> hash of its definition in `concepts.yaml`; these concepts are labelled later
        cells: the source's own columns in the order of `frame`; none if the kind of source has no others
    """

    frame: pd.DataFrame
    concept_set: ConceptSet
    source: str
    licence: str
    files: tuple[dict, ...]
    training: str
    faults: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    cells: pd.DataFrame = field(default_factory=pd.DataFrame)

    def manifest(self) -> dict:
        """Where the rows come from, and the definitions, by which later stages know which machine labels count.

        It holds no paths.
        """
        return {
            "source": self.source,
            "licence": self.licence,
            "files": list(self.files),
            "vocabulary": self.concept_set.to_dict(),
            **({DEFINITIONS: self.definitions} if self.definitions else {}),
        }


def text_cells(cells: pd.Series, numbers: bool = False) -> tuple[pd.Series, pd.Series]:
    """Cells as text, and what is wrong with cells that are not text.

    A cell with a fault becomes null. Lists, objects and bytes are always a fault.

    Args:
        numbers: whether numbers, truth values and dates become text, as for labels, states and ids, where damaged
            characters are a fault; else they are a fault

    Returns:
        Two series of strings: the cells, and the faults (null where there is none).
    """
    texts, faults = [], []
    for cell in cells.tolist():
        text, fault = _text_or_fault(cell.item() if isinstance(cell, np.generic) else cell, numbers)
        texts.append(text)
        faults.append(None if fault is None else fault.format(column=f"column {cells.name!r}"))
    return pd.Series(texts, index=cells.index, dtype="str"), pd.Series(faults, index=cells.index, dtype="str")


def no_state(cell: str) -> bool:
    """Whether a text is no state of anything: infinity, not a number, or an error of a spreadsheet."""
    return _NO_STATE.fullmatch(cell.strip()) is not None


def _text_or_fault(cell: object, numbers: bool) -> tuple[str | None, str | None]:
    """The text of a cell, or its fault with `{column}` for the name of its column."""
    if isinstance(cell, str):
        text = SURROGATE.sub("\ufffd", cell)
        if numbers and _DAMAGE.search(text):
            return None, f"{DAMAGED}: {{column}} holds replacement or control characters: {_brace(ascii(text[:40]))}"
        return text, None
    if isinstance(cell, list | tuple | dict | set | bytes) or hasattr(cell, "__array__"):
        return None, f"{{column}} holds a {type(cell).__name__}, not text"
    if cell is None or pd.isna(cell):
        return None, None
    if numbers and isinstance(cell, datetime.date | datetime.time):
        # A spreadsheet has days as times at midnight.
        midnight = isinstance(cell, datetime.datetime) and cell.time() == datetime.time() and cell.tzinfo is None
        return (cell.date() if midnight else cell).isoformat(), None
    if numbers and isinstance(cell, bool | int | float | Decimal):
        if not math.isfinite(cell):
            return None, f"{{column}} holds {cell}, which is no state"
        if isinstance(cell, float) and abs(cell) >= _EXACT:
            return None, f"{{column}} holds {cell!r} as a float, which is not exact; write it as text or whole number"
        if isinstance(cell, Decimal):
            cell = int(cell) if cell == cell.to_integral_value() else cell.normalize()
            return format(cell, "f") if isinstance(cell, Decimal) else str(cell), None
        # A column of whole numbers with gaps is often stored as floats, so 4.0 means 4.
        return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell), None
    return None, f"{{column}} holds {_brace(repr(cell))} ({type(cell).__name__}), not text"


def _brace(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


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
        raise DataError(f"{where} has no column {', '.join(map(repr, missing))}; it has {shortened(present)}. {remedy}")
