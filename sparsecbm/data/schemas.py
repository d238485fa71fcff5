"""Contracts of the tables that stages exchange, as pandera models.

A model's columns with a pattern (`concept.NAME`, `probability.STATE`, ...) mean one column for each concept or label
state. `schema` makes these columns for a task, and adds the task's checks: known states and the longest text.
"""

from typing import Optional

import pandas as pd
import pandera.pandas as pa

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError, unknown
from sparsecbm.data.text_quality import is_blank, is_damaged, word_counts

# Names of the checks, as reports and metrics hold them.
EMPTY, OVERLONG, DAMAGED, UNKNOWN_STATE = "empty", "overlong", "damaged", "unknown state"
MISSING = "missing"


class _Table(pa.DataFrameModel):
    """Cells are checked as they are. Coercion would turn a number in a text column into a text."""

    class Config:
        coerce = False
        strict = False


class RawTable(_Table):
    """Rows as `ingest` and `validate` write them. Id and text are there; labels and states may be missing."""

    id: str = pa.Field()
    text: str = pa.Field()
    label: str = pa.Field(nullable=True)
    group: str = pa.Field()
    edit_type: str = pa.Field(nullable=True)
    file: str = pa.Field()
    row: int = pa.Field(ge=1)
    concept: str = pa.Field(alias=r"^concept\..+", regex=True, nullable=True)
    source: str = pa.Field(alias=r"^source\..+", regex=True, nullable=True)
    confidence: float = pa.Field(alias=r"^confidence\..+", regex=True, nullable=True, ge=0, le=1)
    share: Optional[float] = pa.Field(alias=r"^share\..+", regex=True, nullable=True, ge=0, le=1)  # noqa: UP045

    @pa.check("text", error=EMPTY)
    def _text_is_not_empty(cls, texts: pd.Series) -> pd.Series:
        return ~is_blank(texts)

    @pa.check("text", error=DAMAGED)
    def _text_is_whole(cls, texts: pd.Series) -> pd.Series:
        return ~is_damaged(texts)


class AnnotatedTable(RawTable):
    """Rows as `annotate` writes them. Ids are unique, and every concept cell has a source."""

    id: str = pa.Field(unique=True)
    source: str = pa.Field(alias=r"^source\..+", regex=True)


class PredictionTable(_Table):
    """The predictions of a model for each text."""

    id: str = pa.Field(unique=True)
    text: str = pa.Field()
    label: str = pa.Field()
    confidence: float = pa.Field(ge=0, le=1)
    probability: float = pa.Field(alias=r"^probability\..+", regex=True, ge=0, le=1)
    concept: str = pa.Field(alias=r"^concept\..+", regex=True)
    concept_confidence: float = pa.Field(alias=r"^concept_confidence\..+", regex=True, ge=0, le=1)


class ExplanationTable(_Table):
    """How much each word of a text supports a state of a concept. One row for each text, concept and word."""

    id: str = pa.Field()
    concept: str = pa.Field()
    state: str = pa.Field()
    method: str = pa.Field()
    word: str = pa.Field()
    start: int = pa.Field(ge=0)
    end: int = pa.Field(ge=0)
    attribution: float = pa.Field()

    @pa.dataframe_check(error="a word ends before it starts")
    def _in_order(cls, frame: pd.DataFrame) -> pd.Series:
        return frame["start"] <= frame["end"]


def schema(model: type[_Table], concept_set: ConceptSet, max_words: int | None = None) -> pa.DataFrameSchema:
    """The schema of a task: a column for each concept or state, known states only, and texts that are not too long."""
    built = model.to_schema()
    for pattern, column in list(built.columns.items()):
        if column.regex and column.required:
            prefix = pattern.strip("^").split(r"\.")[0]
            names = concept_set.label.states if prefix == "probability" else concept_set.names
            columns = {f"{prefix}.{name}": _column(column, f"{prefix}.{name}") for name in names}
            built = built.remove_columns([pattern]).add_columns(columns)
    known = {"label": concept_set.label.states} | {f"concept.{c.name}": c.states for c in concept_set}
    if model is ExplanationTable:
        known = {"concept": concept_set.names, "state": [state for c in concept_set for state in c.states]}
    for name, states in known.items():
        built = _add_check(built, name, pa.Check.isin(list(states), error=UNKNOWN_STATE))
    if max_words is not None:
        check = pa.Check(lambda texts: word_counts(texts) <= max_words, error=OVERLONG)
        built = _add_check(built, "text", check)
    return built


def failures(frame: pd.DataFrame, built: pa.DataFrameSchema, where: str) -> pd.DataFrame:
    """Cells that break a schema, one in each row: the row's `index`, `column`, `check` and the cell as `value`.

    Raises:
        DataError: the whole table is wrong: a column is absent or of the wrong type.
    """
    if not frame.index.is_unique:
        raise ValueError("rows need distinct index labels, because failures are reported by label")
    try:
        built.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return pd.DataFrame({"index": [], "column": [], "check": [], "value": []})
    absent = cases.loc[cases["check"] == "column_in_dataframe", "failure_case"].tolist()
    if absent:
        raise DataError(f"{where} has no column {', '.join(map(repr, absent))}; it has {list(frame.columns)}")
    mistyped = cases[cases["check"].astype(str).str.startswith("dtype(")].drop_duplicates("column")
    if len(mistyped):
        messages = [
            f"{row.column!r} must be {row.check}, is {frame[row.column].dtype}" for row in mistyped.itertuples()
        ]
        raise DataError(f"{where}: {'; '.join(messages)}; convert the column at its source")
    cells = cases[["index", "column", "check", "failure_case"]].rename(columns={"failure_case": "value"})
    return cells.assign(check=cells["check"].replace({"not_nullable": MISSING}))


def check(frame: pd.DataFrame, model: type[_Table], concept_set: ConceptSet, where: str) -> None:
    """Insist that a table keeps its contract.

    Args:
        where: what to call the table in an error

    Raises:
        DataError: it does not; the message lists the first faults.
    """
    cells = failures(frame.reset_index(drop=True), schema(model, concept_set), where)
    if len(cells):
        lines = [
            f"  row {row.index + 1}, column {row.column!r}: {row.check}"
            for row in cells.head(5).itertuples(index=False)
        ]
        raise DataError(f"{where} breaks {model.__name__} in {len(cells)} cell(s):\n" + "\n".join(lines))


def unknown_state(column: str, value: str, concept_set: ConceptSet) -> str:
    """The message about an unknown state: the closest known one, and all choices."""
    if column == "label":
        return unknown(f"state of the label {concept_set.label.name!r}", value, concept_set.label.states)
    name = column.removeprefix("concept.")
    return unknown(f"state of {name!r}", value, concept_set[name].states)


def _column(pattern: pa.Column, name: str) -> pa.Column:
    return pa.Column(pattern.dtype, checks=pattern.checks, nullable=pattern.nullable, name=name)


def _add_check(built: pa.DataFrameSchema, name: str, extra: pa.Check) -> pa.DataFrameSchema:
    return built.update_column(name, checks=[*built.columns[name].checks, extra])
