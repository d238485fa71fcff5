"""Stage `ingest`: read the configured source into one table for each split."""

from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.ingest import ingest
from sparsecbm.data.tables import write_splits


def run(params: Params, workspace: Workspace) -> None:
    """Write `data/ingested`, whose bytes depend on the source's content, the split shares and the seed alone."""
    splits, manifest = ingest(params.source, params.split, params.seed, workspace.root, training=True)
    write_splits(workspace.ingested, splits, manifest)
