"""Labels that machines gave: one table for each annotator, `data/annotations/NAME.parquet`.

Columns, one row for each text and concept, sorted by key and concept:
    key            str; `text_key` of the text, so that labels stay with a text when rows are added or move
    concept        str
    state          str or null; null where the annotator abstained
    confidence     float or null, 0 to 1; the annotator's probability of the state, or the share of votes for it
    probabilities  str or null; JSON, state -> probability, where the annotator gives them
    definition     str; `ConceptDefinition.hash` of the definition that the annotator was given
    model          str; what gave the label, such as the name of a language model
    prompt         str; hash of all else that the label depends on: prompt, options, training texts
"""

import hashlib
import unicodedata
from pathlib import Path

import pandas as pd

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_parquet, write_parquet

COLUMNS = ("key", "concept", "state", "confidence", "probabilities", "definition", "model", "prompt")
TYPES = dict.fromkeys(COLUMNS, "str") | {"confidence": "float64"}


def text_key(text: str) -> str:
    """Sixteen hex digits that stand for a text; Unicode forms and blanks at both ends do not count."""
    return hashlib.sha256(unicodedata.normalize("NFC", text).strip().encode("utf-8", "replace")).hexdigest()[:16]


def label_path(folder: Path, annotator: str) -> Path:
    """The table of an annotator.

    Args:
        folder: `data/annotations`
    """
    return Path(folder) / f"{annotator}.parquet"


def label_paths(folder: Path) -> dict[str, Path]:
    """Annotator -> its table, by name; annotators without a table are missing."""
    return {path.stem: path for path in sorted(Path(folder).glob("*.parquet"))}


def empty_labels() -> pd.DataFrame:
    """A table of labels without rows."""
    return pd.DataFrame({column: pd.Series(dtype=TYPES[column]) for column in COLUMNS})


def label_table(rows: list[dict]) -> pd.DataFrame:
    """A table of labels from rows in any order; of two rows of one text and concept the later one counts."""
    if not rows:
        return empty_labels()
    frame = pd.DataFrame(rows).reindex(columns=list(COLUMNS)).astype(TYPES)
    return frame.drop_duplicates(["key", "concept"], keep="last").sort_values(["key", "concept"], ignore_index=True)


def read_labels(path: Path) -> pd.DataFrame:
    """The labels of one annotator; no rows if there is no file.

    Raises:
        DataError: the file is unreadable or lacks a column.
    """
    if not Path(path).exists():
        return empty_labels()
    frame = read_parquet(path)
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise DataError(f"{path} is no table of labels: it has no column {', '.join(missing)}; annotate again")
    return frame[list(COLUMNS)].astype(TYPES)


def write_labels(path: Path, labels: pd.DataFrame) -> None:
    """Write the labels of one annotator, atomically; the bytes depend on the labels alone."""
    ordered = labels[list(COLUMNS)].astype(TYPES).sort_values(["key", "concept"], ignore_index=True)
    write_parquet(path, ordered)
