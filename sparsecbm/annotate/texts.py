"""The texts of a workspace, each once: what people and machines label belongs to a text, not to a row."""

from collections.abc import Mapping, Sequence

import pandas as pd

from sparsecbm.annotate.labels import text_key
from sparsecbm.base.errors import DataError
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import MANIFEST, read_splits

COLUMNS = ("key", "text", "group", "label", "split")


def read_checked(workspace: Workspace) -> dict[str, pd.DataFrame]:
    """The rows of all splits that the stage `validate` checked.

    Raises:
        DataError: there are none yet.
    """
    if not (workspace.validated / MANIFEST).is_file():
        raise DataError(f"{workspace.validated} holds no texts yet; run `sparsecbm run validate` first")
    return read_splits(workspace.validated)


def distinct_texts(splits: Mapping[str, pd.DataFrame], more: Sequence[str] = ()) -> pd.DataFrame:
    """One row for each different text, the first of equal ones, with `COLUMNS` and more columns of the splits.

    Returns:
        all columns of type str; `key` is the `text_key`
    """
    columns = [*COLUMNS, *more]
    rows = [frame.assign(key=frame["text"].map(text_key), split=split)[columns] for split, frame in splits.items()]
    return pd.concat(rows, ignore_index=True).drop_duplicates("key", ignore_index=True).astype("str")
