"""The stages of the pipeline: each reads its inputs, calls the layers below and writes its outputs."""

import importlib

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace

STAGES = ("ingest", "validate", "annotate", "finetune", "prune", "explain", "intervene", "evaluate", "report")


def run_stage(name: str, workspace: Workspace) -> None:
    """Run one stage in a workspace, as `python -m sparsecbm.stages NAME` does.

    Raises:
        ConfigError: the stage is unknown.
    """
    if name not in STAGES:
        raise ConfigError(unknown("stage", name, STAGES))
    params = load_params(workspace.params)
    importlib.import_module(f"sparsecbm.stages.{name}").run(params, workspace)
