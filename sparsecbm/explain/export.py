"""Explanations as files: one JSON line a text, and a table of words."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import write_parquet, write_text
from sparsecbm.data.schemas import ExplanationTable, check
from sparsecbm.explain.explanation import Explanation

LINES, TABLE = "explanations.jsonl", "explanations.parquet"
COLUMNS = {
    "id": "str", "concept": "str", "state": "str", "method": "str", "word": "str", "start": "int64", "end": "int64",
    "attribution": "float64",
}  # fmt: skip


def json_lines(explanations: Sequence[Explanation]) -> str:
    """One line a text; `sparsecbm/schemas/explanation.schema.json` describes it."""
    return "".join(f"{found.to_json()}\n" for found in explanations)


def word_table(explanations: Sequence[Explanation]) -> pd.DataFrame:
    """One row a text, concept and word: an `ExplanationTable`. A text without an id is named by its place."""
    rows = [
        (
            str(number) if found.id is None else found.id,
            name,
            concept.explained,
            found.origin.method,
            word.word,
            word.start,
            word.end,
            score,
        )
        for number, found in enumerate(explanations)
        for name, concept in found.concepts.items()
        if concept.words is not None
        for word, score in zip(found.words, concept.words.scores, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def write_explanations(folder: Path, explanations: Sequence[Explanation], concept_set: ConceptSet) -> None:
    """Write both files into a folder.

    Raises:
        DataError: the table breaks its contract.
    """
    table = word_table(explanations)
    check(table, ExplanationTable, concept_set, TABLE)
    write_text(folder / LINES, json_lines(explanations))
    write_parquet(folder / TABLE, table)
