"""The key of a stage: one hash over its command, parameters and inputs, for checkpoints and live runs."""

import hashlib
import json

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.files import content_hash, read_json
from sparsecbm.base.params import read_yaml
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import param_files, read_stages


def stage_key(workspace: Workspace, stage: str) -> str:
    """sha256 over everything that determines a stage's outputs: its command, parameters and the bytes of its deps.

    Equal keys mean that the stage would write the same files. Times, paths outside the workspace and compiled Python
    do not change the key.

    Raises:
        ConfigError: the stage or one of its params is unknown.
        DataError: a dependency is missing.
    """
    definition = _definition(workspace, stage)
    plain = {
        "stage": stage,
        "cmd": definition["cmd"],
        "params": stage_params(workspace, stage),
        "deps": {dep: content_hash(workspace.root / dep) for dep in definition.get("deps", [])},
    }
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def stage_params(workspace: Workspace, stage: str) -> dict[str, object]:
    """The values in the files of parameters that the stage depends on, by their dotted keys.

    Raises:
        ConfigError: the stage or one of its params is unknown.
    """
    values = {}
    for file, names in param_files(_definition(workspace, stage)).items():
        path = workspace.root / file
        plain = read_json(path) if path.suffix == ".json" else read_yaml(path)
        for name in names:
            value: object = plain
            for part in name.split("."):
                if not isinstance(value, dict) or part not in value:
                    raise ConfigError(f"dvc.yaml names the parameter {name!r}, which {file} does not have")
                value = value[part]
            values[name] = value
    return values


def _definition(workspace: Workspace, stage: str) -> dict:
    """The definition of a stage in `dvc.yaml`."""
    stages = read_stages(workspace.root)
    if stage not in stages:
        raise ConfigError(unknown("stage", stage, stages))
    return stages[stage]
