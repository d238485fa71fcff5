"""The graph of stages in `dvc.yaml`, and DVC as a subprocess."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.extras import require
from sparsecbm.base.params import read_yaml
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.dvc_recovery import recover_dvc

WRITTEN = ("outs", "metrics", "plots")  # keys of a stage that name what it writes


def stage_order(workspace: Workspace, targets: Iterable[str] = ()) -> tuple[str, ...]:
    """The stages in an order in which each follows its inputs; with `targets`, only those and what they need.

    Independent stages keep their order in `dvc.yaml`.

    Raises:
        ConfigError: a target is unknown, or the graph has a cycle.
    """
    needs = _needs(read_stages(workspace.root))
    order: list[str] = []

    def visit(stage: str, path: tuple[str, ...]) -> None:
        if stage in path:
            raise ConfigError(f"dvc.yaml has a cycle: {' -> '.join((*path, stage))}")
        if stage not in order:
            for needed in needs[stage]:
                visit(needed, (*path, stage))
            order.append(stage)

    targets = tuple(targets)
    for stage in targets:
        if stage not in needs:
            raise ConfigError(unknown("stage", stage, needs))
    for stage in needs:
        if not targets or stage in targets:
            visit(stage, ())
    return tuple(order)


def read_stages(root: Path) -> dict[str, dict]:
    """The definitions of all stages in `dvc.yaml`, by name.

    Raises:
        ConfigError: there is no such file, or an entry has not the form that DVC takes.
    """
    path = root / "dvc.yaml"
    stages = read_yaml(path).get("stages", {})
    if not isinstance(stages, dict):
        raise ConfigError(f"{path}: stages must be a mapping of names to stages")
    for name, definition in stages.items():
        if not isinstance(definition, dict) or not isinstance(definition.get("cmd"), str | list):
            raise ConfigError(f"{path}: stage {name!r} must be a mapping with a cmd")
        for key, valid in (("deps", _is_text), ("params", _is_parameter), *((key, _is_path) for key in WRITTEN)):
            entries = definition.get(key, [])
            if not isinstance(entries, list) or not all(map(valid, entries)):
                raise ConfigError(f"{path}: {key} of stage {name!r} must be a list, as DVC takes it")
    return stages


def _is_text(entry: object) -> bool:
    return isinstance(entry, str)


def _is_parameter(entry: object) -> bool:
    """Whether an entry is a key, or a file with a list of keys."""
    if isinstance(entry, dict):
        return all(isinstance(names or [], list) and all(map(_is_text, names or [])) for names in entry.values())
    return isinstance(entry, str)


def _is_path(entry: object) -> bool:
    """Whether an entry is a path, or one with options, as `metrics/a.json: {cache: false}`."""
    return isinstance(entry, str) or (isinstance(entry, dict) and [type(key) for key in entry] == [str])


def outputs(definition: dict) -> tuple[str, ...]:
    """Paths that a stage writes: its outs, metrics and plots."""
    entries = [entry for kind in WRITTEN for entry in definition.get(kind, [])]
    return tuple(entry if isinstance(entry, str) else next(iter(entry)) for entry in entries)


def param_files(definition: dict) -> dict[str, list[str]]:
    """File -> keys of the parameters that a stage depends on; keys without a file are those of `params.yaml`."""
    files: dict[str, list[str]] = {}
    for entry in definition.get("params", []):
        for file, names in entry.items() if isinstance(entry, dict) else [("params.yaml", [entry])]:
            files.setdefault(file, []).extend(names or [])
    return files


def pending(workspace: Workspace) -> dict[str, list]:
    """Stages that are out of date by `dvc.lock`, with DVC's reasons; empty if the pipeline is up to date.

    A stage that always runs counts only if DVC gives another reason, too.

    Raises:
        ConfigError: DVC cannot read the workspace.
    """
    result = run_dvc(workspace.root, "status", "--json")
    if result.returncode != 0:
        raise ConfigError(f"dvc status failed: {result.stderr.strip() or result.stdout.strip()}")
    status = json.loads(result.stdout)
    reasons = {stage: [reason for reason in given if reason != "always changed"] for stage, given in status.items()}
    return {stage: left for stage, left in reasons.items() if left}


def run_dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run a DVC command in a folder and capture its output. What a killed DVC left is cleared first."""
    recover_dvc(root)
    return subprocess.run(
        dvc_command(*arguments), cwd=root, env=tool_environment(), capture_output=True, text=True, check=False
    )


def dvc_command(*arguments: str) -> list[str]:
    """The command line of the DVC in this environment.

    Raises:
        ConfigError: DVC is not installed.
    """
    require("dvc")
    return [sys.executable, "-m", "dvc", *arguments]


def tool_environment() -> dict[str, str]:
    """The environment for DVC: the folder of this Python leads PATH, so that the stages' `python` is this one."""
    folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _needs(stages: dict[str, dict]) -> dict[str, list[str]]:
    """For each stage, the stages whose outputs it reads."""
    written = {stage: outputs(definition) for stage, definition in stages.items()}

    def reads_from(stage: str, other: str) -> bool:
        deps = [*stages[stage].get("deps", []), *param_files(stages[stage])]
        return any(_overlap(dep, out) for dep in deps for out in written[other])

    return {stage: [other for other in stages if other != stage and reads_from(stage, other)] for stage in stages}


def _overlap(first: str, second: str) -> bool:
    """Whether two paths are equal or one contains the other."""
    a, b = PurePosixPath(first), PurePosixPath(second)
    return a == b or a in b.parents or b in a.parents
