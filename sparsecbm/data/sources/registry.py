"""The sources that `params.yaml` can name, each with its loader."""

from collections.abc import Callable
from pathlib import Path

from sparsecbm.base.params import Source
from sparsecbm.data.source_table import SourceTable
from sparsecbm.data.sources.cebab import load_cebab
from sparsecbm.data.sources.hub import load_hub
from sparsecbm.data.sources.imdb import load_imdb
from sparsecbm.data.sources.restaurants import load_restaurants
from sparsecbm.data.sources.table import load_table
from sparsecbm.data.sources.vocabulary import raise_faults

LOADERS: dict[str, Callable[..., SourceTable]] = {
    "restaurants": load_restaurants,
    "cebab": load_cebab,
    "imdb-c": load_imdb,
    "table": load_table,
    "hub": load_hub,
}


def load_source(source: Source, root: Path) -> SourceTable:
    """Load a source as canonical rows. Its paths are relative to `root`.

    Raises:
        DataError: a file or column is missing, unreadable, of the wrong kind, or no concept.
    """
    table = load_with_faults(source, root)
    raise_faults(table.faults)
    return table


def load_with_faults(source: Source, root: Path) -> SourceTable:
    """As `load_source`, but columns that are no concepts are left to `SourceTable.faults`.

    Raises:
        DataError: a file or column is missing, unreadable or of the wrong kind.
    """
    return LOADERS[source.name](source, Path(root))
