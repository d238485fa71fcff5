"""Files of released data sets, which must be as their publishers made them. Each error names the file and a remedy."""

from pathlib import Path

import pandas as pd

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import sha256_file
from sparsecbm.data.formats.decoding import decode, read_bytes
from sparsecbm.data.formats.json_rows import parse_json
from sparsecbm.data.formats.reader import read_table


def existing_folder(root: Path, path: str, key: str = "source.path") -> Path:
    """A folder, by its path relative to the workspace.

    Raises:
        DataError: it is missing; the message names the key to set.
    """
    folder = Path(root) / path
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; set {key} to the one that holds the data")
    return folder


def file_entry(path: Path, rows: int) -> dict:
    """The entry of a file in the manifest: its name without folder, checksum and number of rows."""
    return {"name": path.name, "sha256": sha256_file(path), "rows": rows}


def read_rows(path: Path) -> pd.DataFrame:
    """Rows of a file, with its own cells; an empty cell of a csv or tsv file is null, a word such as `NA` is not.

    Raises:
        DataError: as `read_table`, or a row is broken.
    """
    table = read_table(path)
    table.require_whole(Path(path).name)
    return table.frame


def read_json_rows(path: Path) -> list[dict]:
    """Rows of a JSON file that holds a list of objects.

    Raises:
        DataError: the file holds anything else, or an empty list.
    """
    rows = parse_json(decode(read_bytes(path), "utf-8", str(path)), Path(path).name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} must hold a JSON list of objects, one a row")
    if not rows:
        raise DataError(f"{path} has no rows")
    return rows
