"""Data frames of users as annotated tables, which is what training and scores read."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.params.source import ConceptColumn
from sparsecbm.base.params.source import Mapping as ColumnMapping
from sparsecbm.data.blanks import fill_blanks
from sparsecbm.data.lookalikes import are_classes
from sparsecbm.data.source_table import canonical
from sparsecbm.data.sources.mapping import map_rows
from sparsecbm.data.sources.vocabulary import vocabulary
from sparsecbm.data.splitting import hold_out_groups

WHERE = "the data frame"
Concepts = str | Sequence[str] | Mapping[str, Sequence[Any] | None]


def to_frame(data: Any) -> pd.DataFrame:
    """A pandas DataFrame from one, from a `datasets.Dataset`, or from a mapping of columns.

    Raises:
        DataError: the data is none of these, or has no rows.
    """
    if isinstance(data, Mapping):
        data = pd.DataFrame(dict(data))
    elif not isinstance(data, pd.DataFrame) and hasattr(data, "to_pandas"):
        data = data.to_pandas()
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"expected a pandas DataFrame or a datasets.Dataset, not {type(data).__name__}")
    if data.empty:
        raise DataError(f"{WHERE} has no rows")
    return data


def concept_columns(concepts: Concepts) -> dict[str, tuple[str, ...] | None]:
    """Concept -> its states in their order; None where they are to be taken from the data.

    Args:
        concepts: one name, several names, or a mapping of names to states
    """
    if isinstance(concepts, str):
        return {concepts: None}
    if isinstance(concepts, Mapping):
        return {name: None if states is None else tuple(map(str, states)) for name, states in concepts.items()}
    return dict.fromkeys(concepts)


def learn_concepts(
    frame: pd.DataFrame, text: str, label: str, concepts: Concepts, labels: Sequence[Any] | None = None
) -> ConceptSet:
    """The concepts and the label of a frame, with the states that they have there unless they are given.

    Raises:
        ConfigError: no concept is named.
        DataError: a column is missing, or has fewer than two states.
    """
    columns = concept_columns(concepts)
    if not columns:
        raise ConfigError("name at least one concept, such as concepts=['food', 'service']")
    require_frame_columns(frame, [text, label, *columns])
    rows = map_rows(frame.reset_index(drop=True), _mapping(text, label, columns, None, labels), WHERE)
    _check_categories(rows, {label: ("label", labels)} | {n: (f"concept.{n}", states) for n, states in columns.items()})
    return vocabulary(rows, _mapping(text, label, columns, None, labels), WHERE, _name_states)


def _name_states(key: str, states: Sequence[str]) -> str:
    """How to name states in a call; `key` is `labels` or `concepts.NAME.states`."""
    named = list(states) if key == "labels" else {key.removeprefix("concepts.").removesuffix(".states"): list(states)}
    return f"pass {key.partition('.')[0]}={named}"


def require_frame_columns(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Check that a frame has the named columns.

    Raises:
        DataError: one is missing; names it, the columns that are there, and the arguments to change.
    """
    missing = [name for name in names if name not in frame]
    if missing:
        raise DataError(
            f"{WHERE} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(str, frame.columns))}. "
            "Pass the right names as text=, label=, group= or concepts=, or rename the columns"
        )


def annotated_table(data: Any, concept_set: ConceptSet, text: str = "text", group: str | None = None) -> pd.DataFrame:
    """A frame whose columns are named like the concepts and the label, as an annotated table.

    Numbers become text: 3 and 3.0 become "3". An empty cell of a concept or label stays empty, and training and scores
    leave it out.

    Args:
        text: the column that holds the texts
        group: a column that is equal for texts that are not independent, such as edits of one review

    Raises:
        DataError: a column is missing, a text is missing, or a cell holds an unknown state; names column and row.
    """
    frame = to_frame(data)
    columns = {concept.name: concept.states for concept in concept_set}
    mapping = _mapping(text, concept_set.label.name, columns, group, concept_set.label.states)
    require_frame_columns(frame, [text, concept_set.label.name, *concept_set.names, *([group] if group else [])])
    rows = map_rows(frame.reset_index(drop=True), mapping, WHERE)
    _check_cells(rows, concept_set, frame.index, text)
    table = canonical(rows, concept_set)
    return fill_blanks(table, concept_set, "leave_out")


def split_validation(table: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold out a share of the groups of an annotated table, with nearly the same labels.

    Returns:
        the training rows and the validation rows

    Raises:
        DataError: either part would be empty.
    """
    held_out = table["group"].isin(hold_out_groups(table["group"], table["label"], share, seed))
    if held_out.all() or not held_out.any():
        raise DataError(
            f"validation={share:g} of {len(table)} rows in {table['group'].nunique()} groups leaves one part empty; "
            "change the share, bring more rows, or pass a data frame"
        )
    return table[~held_out].reset_index(drop=True), table[held_out].reset_index(drop=True)


def _mapping(
    text: str,
    label: str,
    concepts: Mapping[str, Sequence[str] | None],
    group: str | None,
    labels: Sequence[Any] | None,
) -> ColumnMapping:
    columns = {name: ConceptColumn(column=name, states=states) for name, states in concepts.items()}
    return ColumnMapping(
        text=text, label=label, concepts=columns, labels=labels and tuple(map(str, labels)), group=group
    )


def _check_categories(rows: pd.DataFrame, columns: Mapping[str, tuple[str, Sequence[Any] | None]]) -> None:
    """See that columns whose states come from the data hold categories.

    Args:
        columns: name of the user's column -> column of `rows`, and the states if they are given
    """
    for name, (column, states) in columns.items():
        values = rows[column].dropna()
        number = values.nunique()
        if states is None and number < 2:
            only = f"only the state {values.iloc[0]!r}" if number else "no state"
            raise DataError(f"{WHERE}, column {name!r}: it has {only}; two are needed, or there is nothing to predict")
        if states is None and not are_classes(values):
            raise DataError(
                f"{WHERE}, column {name!r}: {number} different values in {len(values)} rows are no categories; group "
                "them first, for example by pandas.cut, or pass the states"
            )


def _check_cells(rows: pd.DataFrame, concept_set: ConceptSet, index: pd.Index, text: str) -> None:
    faults = rows["fault"].dropna()
    if len(faults):
        raise DataError(f"{WHERE}, row {index[faults.index[0]]!r}: {faults.iloc[0]}")
    blank = rows["text"].isna() | (rows["text"].str.strip() == "")
    if blank.any():
        raise DataError(
            f"{WHERE}, column {text!r}: {int(blank.sum())} row(s) have no text, the first is row "
            f"{index[blank.to_numpy().argmax()]!r}; drop them first, for example by frame.dropna(subset=[{text!r}])"
        )
    for column, variable in [("label", concept_set.label), *((f"concept.{c.name}", c) for c in concept_set)]:
        for row, state in rows[column].dropna().items():
            if state not in variable.states:
                raise DataError(
                    f"{WHERE}, column {variable.name!r}, row {index[row]!r}: unknown state {state!r}; "
                    f"the states are {', '.join(variable.states)}"
                )
