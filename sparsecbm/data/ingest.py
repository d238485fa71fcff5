"""From a configured source to split tables: what the stage `ingest` and the command line share."""

from pathlib import Path

import pandas as pd

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import Source, Split
from sparsecbm.data.sources.registry import load_source
from sparsecbm.data.splitting import make_splits


def ingest(
    source: Source, split: Split, seed: int, root: Path, training: bool = False
) -> tuple[dict[str, pd.DataFrame], dict]:
    """Read a source and part it into splits.

    Args:
        training: Insist on a split `train`. A source without one can still be evaluated on.

    Returns:
        The splits, and the manifest (source, licence, files, vocabulary) that `write_splits` completes.

    Raises:
        DataError: a file or column is missing or unreadable, or there is no training split.
    """
    loaded = load_source(source, root)
    splits = make_splits(loaded.frame, split, seed)
    if training and "train" not in splits:
        raise DataError(
            f"source {source.name} has no split `train`, only {', '.join(splits)}; training reads {loaded.training}"
        )
    return splits, loaded.manifest()
