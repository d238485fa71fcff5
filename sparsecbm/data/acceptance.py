"""Whether a source can be trained on: all faults of its table in one message."""

import pandas as pd

from sparsecbm.base.errors import ConfigError, DataError, SparseCBMError
from sparsecbm.base.params import Params
from sparsecbm.data.balance import find_constants
from sparsecbm.data.blanks import UNKNOWN, no_unknown
from sparsecbm.data.ingest import divide
from sparsecbm.data.source_table import BLANK, SourceTable


def accepted_splits(table: SourceTable, params: Params) -> dict[str, pd.DataFrame]:
    """The splits of a table whose columns can all be learnt.

    Bad rows alone are no reason to refuse a table here: the stage `validate` moves them to quarantine. But if a column
    is at fault, bad rows are named with it, so that a person can correct all at once.

    Raises:
        DataError: a column cannot be learnt, or a split is missing.
        ConfigError: empty cells should become `unknown`, and a concept has no such state.
    """
    faults = _column_faults(table, params.annotate.blank)
    settings = _blank_faults(table, params.annotate.blank)
    try:
        splits = divide(table, params.split, params.seed, training=True)
    except SparseCBMError as error:
        if not faults and not settings:
            raise
        raise DataError("\n".join([*faults, *settings, str(error)])) from None
    if not faults and not settings:
        return splits
    lines = [*faults, *settings, *_row_faults(table, splits, params)]
    raise (DataError if faults else ConfigError)("\n".join(lines))


def _column_faults(table: SourceTable, blank: str) -> list[str]:
    files = ", ".join(sorted(table.frame["file"].unique()))
    good = _good_rows(table)
    judged = table.concept_set.without(table.definitions)  # the others are labelled later
    constants = find_constants(good, judged, blank == UNKNOWN) if len(good) else {}
    return [*table.faults.values()] + [
        f"{files}, column {column!r}: {reason} rows, so there is nothing to learn; leave it out of the mapping, or add "
        "rows with another state"
        for column, reason in constants.items()
        if column not in table.faults
    ]


def _blank_faults(table: SourceTable, blank: str) -> list[str]:
    """What the policy for empty cells lacks."""
    if blank != UNKNOWN:
        return []
    good = _good_rows(table)
    counts = {
        concept: int((good[f"concept.{concept.name}"].isna() & (good[f"source.{concept.name}"] == BLANK)).sum())
        for concept in table.concept_set.without(table.definitions)
        if UNKNOWN not in concept.states and f"concept.{concept.name}" not in table.faults
    }
    return [no_unknown(concept, count) for concept, count in counts.items() if count]


def _good_rows(table: SourceTable) -> pd.DataFrame:
    return table.frame[table.frame["fault"].isna()] if "fault" in table.frame else table.frame


def _row_faults(table: SourceTable, splits: dict[str, pd.DataFrame], params: Params) -> list[str]:
    """Why validation would refuse the rows, if it would."""
    if _good_rows(table).empty:  # then a fault of a column says it all
        return []
    from sparsecbm.data.validation import validate  # slow to load, and needed for a refused table only

    try:
        refusal = validate(splits, table.concept_set, params.validate_, defined=table.definitions).refusal
    except DataError:  # a column that never varies, which is among the faults of columns
        refusal = None
    return [] if refusal is None else [refusal]
