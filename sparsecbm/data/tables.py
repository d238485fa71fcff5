"""Split tables on disk: one parquet file for each split, and a manifest.

Columns of a table (canonical names):
    id            str, unique
    text          str
    label         str or null (a missing label is left out of loss and scores)
    group         str; rows of one group belong together (a review and its edits) and lie in one split
    edit_type     str or null; the concept that an edit of the group's original changed to make this row
    file, row     where the row came from (file name without folder, 1-based row number)
    concept.NAME  str or null; the state of concept NAME
    source.NAME   str; who gave the state: human, blank (an empty cell), "no majority", "undecided" (people say that the
                  text cannot be decided), an annotator's name, or the method that weighed several annotators
    confidence.NAME  float or null; share of votes for the state, or an annotator's confidence
    cluster.NAME  str or null, optional; rows that share it are not independent evidence on concept NAME
    share.NAME.STATE  float or null, optional; share of the votes for a state, NAME a concept or `label`
    fault         str or null, optional, in ingested tables only; what was wrong with a cell of the source
"""

import hashlib
from pathlib import Path

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ConfigError, DataError, unknown
from sparsecbm.base.files import (
    read_json_object,
    read_parquet,
    recover,
    replacing_folder,
    sha256_file,
    write_json,
    write_parquet,
)

MANIFEST = "manifest.json"
QUARANTINE = "quarantine.parquet"
FORMAT = 1
DEFINITIONS = "definitions"  # key of a manifest: concept -> hash of its definition in concepts.yaml


def write_splits(
    folder: Path, splits: dict[str, pd.DataFrame], manifest: dict, quarantine: pd.DataFrame | None = None
) -> None:
    """Replace a folder by one parquet file a split, the manifest and, if given, the quarantined rows.

    The whole folder changes, or nothing does. `manifest` gives source and vocabulary; this function adds format,
    splits, columns and checksums.
    """
    with replacing_folder(Path(folder)) as fresh:
        entries = []
        for name, frame in splits.items():
            path = fresh / f"{name}.parquet"
            write_parquet(path, frame)
            entries.append({"name": name, "rows": len(frame), "sha256": sha256_file(path)})
        if quarantine is not None:
            write_parquet(fresh / QUARANTINE, quarantine)
        columns = list(next(iter(splits.values())).columns) if splits else []
        joined = "\n".join(f"{entry['name']} {entry['sha256']}" for entry in entries)
        content = hashlib.sha256(joined.encode("utf-8")).hexdigest()
        filled = {"format": FORMAT, "splits": entries, "columns": columns, "sha256": content}
        write_json(fresh / MANIFEST, {**manifest, **filled})


def read_manifest(folder: Path) -> dict:
    """The manifest of a folder of splits: source, licence, files, splits, columns, vocabulary, sha256.

    Raises:
        DataError: the manifest is missing, broken or of another format.
    """
    recover(Path(folder))
    manifest = read_json_object(Path(folder) / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise DataError(
            f"{folder} has format {manifest.get('format')!r:.40}, not {FORMAT}; run the stage that makes it again"
        )
    entries = manifest.get("splits")
    if not isinstance(entries, list) or not all(_is_split(entry) for entry in entries):
        raise DataError(f"{folder}/{MANIFEST} has no list of splits with names; run the stage that makes it again")
    return manifest


def _is_split(entry: object) -> bool:
    name = entry.get("name") if isinstance(entry, dict) else None
    return isinstance(name, str) and name not in ("", ".", "..") and "/" not in name and "\0" not in name


def read_concepts(folder: Path) -> ConceptSet:
    """The concepts and the label of a folder of splits.

    Raises:
        DataError: the manifest names none.
    """
    try:
        return ConceptSet.from_dict(read_manifest(folder)["vocabulary"])
    except (KeyError, TypeError, ConfigError) as error:
        raise DataError(f"{folder}/{MANIFEST}: the vocabulary is damaged ({error}); run the stage again") from None


def split_names(folder: Path) -> list[str]:
    """Names of the splits in a folder, in the manifest's order."""
    return [entry["name"] for entry in read_manifest(folder)["splits"]]


def head_split(folder: Path) -> str:
    """The split whose scores come first: test, else dev, else validation, else the first one besides train."""
    names = [name for name in split_names(folder) if name != "train"]
    return next(name for name in ("test", "dev", "validation", *names) if name in names)


def read_split(folder: Path, split: str) -> pd.DataFrame:
    """The table of one split.

    Raises:
        DataError: there is no such split; the message lists the choices.
    """
    names = split_names(folder)
    if split not in names:
        raise DataError(f"{folder}: {unknown('split', split, names)}")
    return read_parquet(Path(folder) / f"{split}.parquet")


def read_splits(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of all splits, in the manifest's order."""
    return {name: read_split(folder, name) for name in split_names(folder)}
