"""From a configured source to split tables, for the stage `ingest` and the command line."""

from pathlib import Path

import pandas as pd

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import Source, Split
from sparsecbm.data.source_table import SourceTable
from sparsecbm.data.sources.registry import load_source
from sparsecbm.data.splitting import make_splits


def ingest(
    source: Source, split: Split, seed: int, root: Path, training: bool = False
) -> tuple[dict[str, pd.DataFrame], dict]:
    """Load a source and divide its rows into splits.

    Args:
        training: Whether a split `train` is required. A source without one can be evaluated on, not trained on.

    Returns:
        The splits by name, and the manifest (source, licence, files, vocabulary) that `write_splits` completes.

    Raises:
        DataError: a file or column is missing, unreadable or no concept, or there is no training split.
    """
    table = load_source(source, root)
    return divide(table, split, seed, training), table.manifest()


def divide(table: SourceTable, split: Split, seed: int, training: bool) -> dict[str, pd.DataFrame]:
    """The rows of a source by split.

    Raises:
        DataError: there is no split `train`, though `training` needs one; or as `make_splits`.
    """
    splits = make_splits(table.frame, split, seed)
    if training and "train" not in splits:
        raise DataError(
            f"source {table.source} has no split `train`, only {', '.join(splits)}; training needs {table.training}"
        )
    return splits
