"""Explanations as files: one JSON line for each text, and a table of words."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from sparsecbm.base.errors import DataError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.files import parse_json, write_parquet, write_text
from sparsecbm.explain.explanation import Explanation

LINES, TABLE = "explanations.jsonl", "explanations.parquet"
COLUMNS = {
    "id": "str", "concept": "str", "state": "str", "method": "str", "word": "str", "start": "int64", "end": "int64",
    "attribution": "float64",
}  # fmt: skip


def json_lines(explanations: Sequence[Explanation]) -> str:
    """One line for each text; `sparsecbm/schemas/explanation.schema.json` describes it."""
    return "".join(f"{explanation.to_json()}\n" for explanation in explanations)


def word_table(explanations: Sequence[Explanation]) -> pd.DataFrame:
    """One row for each text, concept and word: an `ExplanationTable`. The id of a text without one is its index."""
    rows = [
        (
            str(index) if explanation.id is None else explanation.id,
            name,
            concept.explained,
            explanation.origin.method,
            word.word,
            word.start,
            word.end,
            score,
        )
        for index, explanation in enumerate(explanations)
        for name, concept in explanation.concepts.items()
        if concept.words is not None
        for word, score in zip(explanation.words, concept.words.scores, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def read_explanations(folder: Path) -> list[Explanation]:
    """Read the explanations that `write_explanations` wrote.

    Raises:
        DataError: the file is missing, or a line is no explanation; the message names the line.
    """
    path, explanations = folder / LINES, []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeError) as error:
        raise DataError(f"{path} cannot be read: {system_fault(error) or error}; run the stage explain") from None
    for number, line in enumerate(lines, 1):
        if line:
            try:
                explanations.append(Explanation.from_dict(parse_json(line, f"{path}, line {number}")))
            except ValidationError as error:
                fault = error.errors()[0]
                key = ".".join(map(str, fault["loc"]))
                raise DataError(f"{path}, line {number} is no explanation: {key}: {fault['msg']}") from None
    return explanations


def write_explanations(folder: Path, explanations: Sequence[Explanation]) -> None:
    """Write both files into a folder."""
    write_text(folder / LINES, json_lines(explanations))
    write_parquet(folder / TABLE, word_table(explanations))
