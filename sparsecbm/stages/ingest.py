"""Stage `ingest`: read the configured source into one table for each split, and fix the parameters of the run."""

from sparsecbm.annotate.acceptance import accepted_splits
from sparsecbm.base.params import Params, write_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.sources.registry import load_with_faults
from sparsecbm.data.tables import write_splits


def run(params: Params, workspace: Workspace) -> None:
    """Write `data/ingested`, and the parameters of the run to `data/params.json`.

    The bytes of the tables depend on the source's content, the split shares and the seed alone. DVC compares the values
    in `data/params.json`, which are those that the stages read.
    """
    table = load_with_faults(params.source, workspace.root)
    write_splits(workspace.ingested, accepted_splits(table, params), table.manifest())
    write_params(workspace.run_params, params)
