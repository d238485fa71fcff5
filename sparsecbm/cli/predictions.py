"""Predictions for texts from the command line: what `sparsecbm predict` reads and writes."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ConfigError, DataError

CHUNK = 512  # texts read by the model between two batches of output


def given_texts(texts: list[str] | None, file: Path | None) -> list[str]:
    """The texts that a command was given, one by one or as a file.

    Raises:
        ConfigError: both or neither are given.
        DataError: the file holds no text, or as `read_texts`.
    """
    if bool(texts) == bool(file):
        raise ConfigError("give either --text or --file")
    found = texts or read_texts(file)
    if not found:
        raise DataError(f"{file} holds no text")
    return found


def read_texts(path: Path) -> list[str]:
    """Texts of a file: `.jsonl` and `.csv`/`.tsv` hold them under `text`; of any other file each line is one.

    Raises:
        DataError: the file is missing, is not UTF-8, or a row has no text; the message names the row.
    """
    try:
        content = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error.reason} at byte {error.start}; convert it first") from None
    suffix = Path(path).suffix
    if suffix == ".jsonl":
        lines = [(i, line) for i, line in enumerate(content.split("\n"), 1) if line.strip()]
        return [_text_of_json(line, f"{path}, line {i}") for i, line in lines]
    if suffix in (".csv", ".tsv"):
        rows = csv.DictReader(io.StringIO(content), delimiter="\t" if suffix == ".tsv" else ",")
        if "text" not in (rows.fieldnames or ()):
            raise DataError(f"{path} has no column 'text'; it has {', '.join(rows.fieldnames or ()) or 'none'}")
        return [row["text"] or "" for row in rows]
    return [line for line in content.split("\n") if line.strip()]


def prediction_lines(model: SparseCBM, texts: list[str]) -> Iterator[str]:
    """One JSON line a text, in order; `schemas/predict.schema.json` describes it."""
    for start in range(0, len(texts), CHUNK):
        for prediction in model.predict(texts[start : start + CHUNK]):
            yield json.dumps(prediction.to_dict(), ensure_ascii=False)


def _text_of_json(line: str, where: str) -> str:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not valid JSON: {error}") from None
    text = row if isinstance(row, str) else row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise DataError(f"{where} has no text; give a JSON string, or an object with the key 'text'")
    return text
