"""Stage `ingest`: read the configured source into one table for each split, and fix the parameters of the run."""

from sparsecbm.annotate.defined_concepts import load_defined
from sparsecbm.base.files import write_parquet
from sparsecbm.base.params import Params, write_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.acceptance import accepted_splits
from sparsecbm.data.subgroups import subgroup_table
from sparsecbm.data.tables import write_splits


def run(params: Params, workspace: Workspace) -> None:
    """Write `data/ingested`, `data/subgroups.parquet`, and the parameters of the run to `data/params.json`.

    The bytes of the tables depend on the source's content, `concepts.yaml`, the split shares and the seed alone. DVC
    compares the values in `data/params.json`, which are those that the stages read.
    """
    table = load_defined(params.source, workspace)
    subgroups = subgroup_table(table, params.evaluate.subgroups)
    write_splits(workspace.ingested, accepted_splits(table, params), table.manifest())
    write_parquet(workspace.subgroups, subgroups)
    write_params(workspace.run_params, params)
