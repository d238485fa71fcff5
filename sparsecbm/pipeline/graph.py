"""The graph of stages as `dvc.yaml` states it, and DVC as a subprocess."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.params import read_yaml
from sparsecbm.base.workspace import Workspace


def stage_order(workspace: Workspace, wanted: Iterable[str] = ()) -> tuple[str, ...]:
    """All stages so that each follows what it reads from; with `wanted`, only those and what they need.

    Stages that are free to go in either order keep the order of `dvc.yaml`.

    Raises:
        ConfigError: a wanted stage is unknown, or the graph goes in circles.
    """
    needs = _needs(read_yaml(workspace.root / "dvc.yaml").get("stages", {}))
    order: list[str] = []

    def visit(stage: str, path: tuple[str, ...]) -> None:
        if stage in path:
            raise ConfigError(f"dvc.yaml goes in circles: {' -> '.join((*path, stage))}")
        if stage not in order:
            for needed in needs[stage]:
                visit(needed, (*path, stage))
            order.append(stage)

    wanted = tuple(wanted)
    for stage in wanted:
        if stage not in needs:
            raise ConfigError(unknown("stage", stage, needs))
    for stage in needs:
        if not wanted or stage in wanted:
            visit(stage, ())
    return tuple(order)


def outputs(definition: dict) -> tuple[str, ...]:
    """Paths that a stage writes: its outs, metrics and plots."""
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in definition.get(kind, [])]
    return tuple(entry if isinstance(entry, str) else next(iter(entry)) for entry in entries)


def pending(workspace: Workspace) -> dict[str, list]:
    """Stages that `dvc.lock` does not speak for as the files now stand, with DVC's reasons; empty when all is done.

    A stage that is always run counts only if something else about it changed.

    Raises:
        ConfigError: DVC cannot read the workspace.
    """
    result = run_dvc(workspace.root, "status", "--json")
    if result.returncode != 0:
        raise ConfigError(f"dvc status failed: {result.stderr.strip() or result.stdout.strip()}")
    status = json.loads(result.stdout)
    reasons = {stage: [why for why in found if why != "always changed"] for stage, found in status.items()}
    return {stage: found for stage, found in reasons.items() if found}


def run_dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run a DVC command in a folder and keep what it prints."""
    return subprocess.run(
        dvc_command(*arguments), cwd=root, env=tool_environment(), capture_output=True, text=True, check=False
    )


def dvc_command(*arguments: str) -> list[str]:
    """The command line of this environment's DVC."""
    return [sys.executable, "-m", "dvc", *arguments]


def tool_environment() -> dict[str, str]:
    """The environment for DVC: this Python's folder leads PATH, or a stage's `python` would be another or none."""
    folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _needs(stages: dict[str, dict]) -> dict[str, list[str]]:
    """For each stage, the stages that write what it reads."""
    written = {stage: outputs(definition) for stage, definition in stages.items()}

    def reads(stage: str, other: str) -> bool:
        deps = stages[stage].get("deps", [])
        return any(_overlap(dep, out) for dep in deps for out in written[other])

    return {stage: [other for other in stages if other != stage and reads(stage, other)] for stage in stages}


def _overlap(first: str, second: str) -> bool:
    """Whether two paths are the same or one lies in the other."""
    a, b = PurePosixPath(first), PurePosixPath(second)
    return a == b or a in b.parents or b in a.parents
