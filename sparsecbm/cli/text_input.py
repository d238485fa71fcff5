"""The texts that a command is given, as options or as a file."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from sparsecbm.base.errors import ConfigError, DataError


def collect_texts(texts: Sequence[str] | None, file: Path | None) -> list[str]:
    """The texts of the options `--text`, or of the file `--file`.

    Raises:
        ConfigError: both or neither are given.
        DataError: the file holds no text, or as `load_texts`.
    """
    if texts and file:
        raise ConfigError("give only one of --text and --file")
    if not texts and not file:
        raise ConfigError("give --text or --file")
    if texts:
        return list(texts)
    loaded = load_texts(file)
    if not loaded:
        raise DataError(f"{file} holds no text")
    return loaded


def load_texts(path: Path) -> list[str]:
    """Load texts from a file.

    A `.jsonl`, `.csv` or `.tsv` file holds them under the key or column `text`. In any other file, each line is a text.

    Raises:
        DataError: the file is missing or not UTF-8, or a row has no text; the message names the row.
    """
    try:
        content = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error.reason} at byte {error.start}; convert it first") from None
    suffix = Path(path).suffix
    if suffix == ".jsonl":
        lines = [(number, line) for number, line in enumerate(content.split("\n"), 1) if line.strip()]
        return [_parse_json_line(line, f"{path}, line {number}") for number, line in lines]
    if suffix in (".csv", ".tsv"):
        rows = csv.DictReader(io.StringIO(content), delimiter="\t" if suffix == ".tsv" else ",")
        if "text" not in (rows.fieldnames or ()):
            raise DataError(f"{path} has no column 'text'; it has {', '.join(rows.fieldnames or ()) or 'none'}")
        return [row["text"] or "" for row in rows]
    return [line for line in content.split("\n") if line.strip()]


def _parse_json_line(line: str, location: str) -> str:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{location} is not valid JSON: {error}") from None
    text = row if isinstance(row, str) else row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise DataError(f"{location} has no text; give a JSON string, or an object with the key 'text'")
    return text
