"""Subgroups of rows: the values of columns that a model never sees, by which its scores are split.

A table of subgroups holds `id`, and `subgroup.NAME` for each column: str, `blank` where the cell is empty.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.files import read_parquet
from sparsecbm.data.source_table import BLANK, SourceTable, text_cells

CANONICAL = ("edit_type", "file")  # columns that every source has
MOST = 20  # subgroups of one column; the scores of more would say nothing for their small numbers of texts
PREFIX = "subgroup."


def subgroup_table(table: SourceTable, columns: Sequence[str]) -> pd.DataFrame:
    """The subgroups of all rows of a source.

    Args:
        columns: `evaluate.subgroups`

    Raises:
        ConfigError: the source has no such column, or a column has more than `MOST` values.
    """
    subgroups = {f"{PREFIX}{name}": _values(table, name) for name in columns}
    return pd.DataFrame({"id": table.frame["id"], **subgroups}) if columns else pd.DataFrame({"id": []}, dtype="str")


def read_subgroups(path: Path, ids: pd.Series, columns: Sequence[str]) -> dict[str, pd.Series]:
    """Column -> the subgroup of each of these rows, in their order.

    Raises:
        DataError: the table is missing or unreadable.
    """
    if not columns:
        return {}
    rows = read_parquet(path).drop_duplicates("id").set_index("id")
    return {name: rows[f"{PREFIX}{name}"].reindex(ids).fillna(BLANK).reset_index(drop=True) for name in columns}


def _values(table: SourceTable, name: str) -> pd.Series:
    if name in table.cells:
        cells = text_cells(table.cells[name], numbers=True)[0].reset_index(drop=True)
    elif name in CANONICAL:
        cells = table.frame[name]
    else:
        choices = dict.fromkeys((*map(str, table.cells.columns), *CANONICAL))
        raise ConfigError(f"evaluate.subgroups: {unknown('column', name, choices)}")
    values = cells.fillna(BLANK)
    count = values.nunique()
    if count > MOST:
        raise ConfigError(
            f"evaluate.subgroups: column {name!r} has {count:,} values, and at most {MOST} can be subgroups; leave it "
            "out, or add a column to the source that puts its values together"
        )
    return values
