"""Read one file of a source as rows, whatever its format. Each error names the file and a remedy."""

import json
from pathlib import Path

import pandas as pd

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_parquet, sha256_file

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


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
    """Rows of a csv, tsv, jsonl or parquet file, with the file's own cells.

    An empty cell of a csv or tsv file is null; a word such as `NA` is not.

    Raises:
        DataError: the file is missing, broken or empty, or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist; set source.path to a {', '.join(SUFFIXES)} file")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path.name} ends in {suffix or 'nothing'}; sources end in {', '.join(SUFFIXES)}")
    if suffix == ".parquet":
        frame = read_parquet(path)
    elif suffix == ".jsonl":
        frame = _read_jsonl(path)
    else:
        frame = _read_delimited(path, "," if suffix == ".csv" else "\t")
    if frame.empty:
        raise DataError(f"{path} has no rows")
    return frame


def read_json_rows(path: Path) -> list[dict]:
    """Rows of a JSON file that holds a list of objects.

    Raises:
        DataError: the file holds anything else, or an empty list.
    """
    rows = _parse(_read_utf8(path), path.name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} must hold a JSON list of objects, one a row")
    if not rows:
        raise DataError(f"{path} has no rows")
    return rows


def _read_delimited(path: Path, separator: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty") from None
    except pd.errors.ParserError as error:
        remedy = f"quote cells that hold {separator!r}"
        raise DataError(f"{path} is not a readable table: {str(error).strip()}; {remedy}") from None
    return frame


def _read_jsonl(path: Path) -> pd.DataFrame:
    rows = []
    # JSON escapes line ends inside texts, so a plain split is right. str.splitlines would also cut at U+2028.
    for number, line in enumerate(_read_utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        row = _parse(line, f"{path.name}, line {number}")
        if not isinstance(row, dict):
            raise DataError(f"{path.name}, line {number} holds a {type(row).__name__}; each line must be an object")
        rows.append(row)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    # dtype=object keeps 4, 4.0 and '4' different.
    return pd.DataFrame({key: pd.Series([row.get(key) for row in rows], dtype=object) for key in columns})


def _read_utf8(path: Path) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None


def _not_utf8(path: Path, error: UnicodeDecodeError) -> DataError:
    return DataError(f"{path} is not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8")


def _parse(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not valid JSON: {error}") from None
