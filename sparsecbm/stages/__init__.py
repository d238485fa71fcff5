"""The stages of the pipeline: each reads its inputs, calls the layers below and writes its outputs."""

import importlib

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.params import load_params, load_run_params
from sparsecbm.base.workspace import Workspace

STAGES = ("ingest", "validate", "annotate", "finetune", "prune", "explain", "intervene", "evaluate", "report")


def run_stage(name: str, workspace: Workspace) -> None:
    """Run one stage in a workspace, as `python -m sparsecbm.stages NAME` does.

    The first stage reads the configuration and writes the parameters of the run; the other stages read those.

    Raises:
        ConfigError: the stage is unknown.
    """
    if name not in STAGES:
        raise ConfigError(unknown("stage", name, STAGES))
    params = load_params(workspace.params) if name == STAGES[0] else load_run_params(workspace)
    importlib.import_module(f"sparsecbm.stages.{name}").run(params, workspace)
