"""Split tables on disk: one parquet file a split and a manifest beside them.

Columns of a table (canonical names):
    id            str, unique
    text          str
    label         str or null (a missing label is left out of loss and scores)
    group         str; rows of one group belong together (a review and its edits) and never straddle splits
    edit_type     str or null; the concept that was changed to make this row from its group's original
    file, row     where the row came from (file name without folder, 1-based row number)
    concept.NAME  str or null; the state of concept NAME
    source.NAME   str; who says so: human, blank (an empty cell), "no majority", or an annotator's name
    confidence.NAME  float or null; share of agreeing votes, or an annotator's own figure
    cluster.NAME  str or null, optional; rows that share it are not independent evidence on concept NAME
"""

from pathlib import Path

import pandas as pd

from sparsecbm.concepts import ConceptSet
from sparsecbm.errors import DataError, unknown
from sparsecbm.files import read_json, read_parquet, write_json, write_parquet

MANIFEST = "manifest.json"


def write_splits(folder: Path, splits: dict[str, pd.DataFrame], manifest: dict) -> None:
    """Write one parquet file a split, then the manifest, into an existing or new folder."""
    for name, frame in splits.items():
        write_parquet(folder / f"{name}.parquet", frame)
    write_json(folder / MANIFEST, manifest)


def read_manifest(folder: Path) -> dict:
    """The manifest of a folder of splits: source, licence, files, splits, concepts, label."""
    return read_json(Path(folder) / MANIFEST)


def read_concepts(folder: Path) -> ConceptSet:
    """The concept set that a folder of splits is about."""
    return ConceptSet.from_dict(read_manifest(folder)["vocabulary"])


def split_names(folder: Path) -> list[str]:
    """Names of the splits in a folder, in the manifest's order."""
    return list(read_manifest(folder)["splits"])


def read_split(folder: Path, split: str) -> pd.DataFrame:
    """One split's table; an unknown split is an error that lists those that are there."""
    names = split_names(folder)
    if split not in names:
        raise DataError(f"{folder}: {unknown('split', split, names)}")
    return read_parquet(Path(folder) / f"{split}.parquet")
