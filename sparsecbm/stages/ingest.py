"""Stage `ingest`: read the configured source into one table for each split."""

from sparsecbm.annotate.acceptance import accepted_splits
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.sources.registry import load_with_faults
from sparsecbm.data.tables import write_splits


def run(params: Params, workspace: Workspace) -> None:
    """Write `data/ingested`, whose bytes depend on the source's content, the split shares and the seed alone."""
    table = load_with_faults(params.source, workspace.root)
    write_splits(workspace.ingested, accepted_splits(table, params), table.manifest())
