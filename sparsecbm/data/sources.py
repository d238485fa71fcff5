"""The sources that `params.yaml` can name, each with its loader."""

from collections.abc import Callable
from pathlib import Path

from sparsecbm.data.cebab import load_cebab
from sparsecbm.data.hub import load_hub
from sparsecbm.data.imdb import load_imdb
from sparsecbm.data.loaded import Loaded
from sparsecbm.data.restaurants import load_restaurants
from sparsecbm.data.table import load_table
from sparsecbm.params import Source

LOADERS: dict[str, Callable[..., Loaded]] = {
    "restaurants": load_restaurants,
    "cebab": load_cebab,
    "imdb-c": load_imdb,
    "table": load_table,
    "hub": load_hub,
}


def load_source(source: Source, root: Path) -> Loaded:
    """Read a source as canonical rows; its paths are relative to `root`.

    Raises:
        DataError: a file or column is missing, unreadable or of the wrong kind.
    """
    return LOADERS[source.name](source, Path(root))
