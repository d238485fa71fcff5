"""Compares a run in a fresh clone with this workspace, byte for byte, and its scores with a reference in git."""

import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sparsecbm.base.errors import ConfigError, SparseCBMError
from sparsecbm.base.files import read_json
from sparsecbm.base.flat import flat, flat_numbers
from sparsecbm.base.git import git_or_empty
from sparsecbm.base.params import load_params, load_run_params, plain_params, read_yaml
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import dvc_command, pending, tool_environment
from sparsecbm.pipeline.shared_cache import copy_data

SCORES = ("accuracy", "macro_f1")  # scores on which two machines must agree
TOLERANCE = 0.03
RUN_WRITES = ("dvc.lock",)  # a file that a run changes; git may track it


@dataclass(frozen=True)
class Output:
    """One output of a stage: its hash here and in the clone."""

    stage: str
    path: str
    here: str
    clone: str

    @property
    def same(self) -> bool:
        return self.here == self.clone


@dataclass(frozen=True)
class Score:
    """One score: its value in the reference and in this workspace."""

    name: str
    reference: float
    fresh: float

    @property
    def close(self) -> bool:
        return abs(self.reference - self.fresh) <= TOLERANCE


@dataclass(frozen=True)
class Verdict:
    """The result of the comparison."""

    outputs: tuple[Output, ...]
    scores: tuple[Score, ...]

    @property
    def good(self) -> bool:
        return all(output.same for output in self.outputs) and all(score.close for score in self.scores)


def verify(workspace: Workspace, print_line: Callable[[str], None]) -> Verdict:
    """Run the committed pipeline in a fresh clone with an empty cache, and compare it with this workspace.

    Args:
        print_line: receives each line that the run prints

    Raises:
        ConfigError: stages of this workspace are out of date, it differs from its commit, or its last run had other
            parameters.
        SparseCBMError: the run in the clone failed.
    """
    _check_comparable(workspace)
    with tempfile.TemporaryDirectory(prefix="sparsecbm-verify-") as folder:
        clone = Path(folder) / "clone"
        _run(["git", "clone", "--quiet", "--no-hardlinks", str(workspace.root), str(clone)], Path(folder), print_line)
        copy_data(workspace.root, clone)
        # The clone tracks into its own database: its runs repeat those of the workspace.
        environment = {name: value for name, value in tool_environment().items() if name != "MLFLOW_TRACKING_URI"}
        _run(dvc_command("repro", "--no-run-cache"), clone, print_line, environment)
        return Verdict(
            compare_locks(read_yaml(workspace.root / "dvc.lock"), read_yaml(clone / "dvc.lock")),
            compare_scores(workspace),
        )


def compare_locks(here: dict, clone: dict) -> tuple[Output, ...]:
    """Every output in either lock; a missing one has an empty hash.

    Raises:
        ConfigError: an entry has not the form that DVC writes.
    """
    first, second = _hashes(here), _hashes(clone)
    return tuple(Output(*key, first.get(key, ""), second.get(key, "")) for key in sorted({*first, *second}))


def compare_scores(workspace: Workspace) -> tuple[Score, ...]:
    """The scores in `metrics/summary.json`, and those of the reference; empty without a reference."""
    path = reference_file(workspace)
    if not path.is_file():
        return ()
    old, new = flat_numbers(read_json(path)), flat_numbers(read_json(workspace.metrics("summary")))
    names = [name for name in old if name.split(".")[-1] in SCORES]
    return tuple(Score(name, old[name], new.get(name, float("nan"))) for name in names)


def reference_file(workspace: Workspace) -> Path:
    """A `metrics/summary.json` in git to compare with: one for each source, or for each profile."""
    params = load_params(workspace.root / "params.yaml")
    return workspace.root / "reference" / f"{params.profile or params.source.name}.json"


def _check_comparable(workspace: Workspace) -> None:
    """Refuse a workspace that a clone of its last commit cannot equal."""
    if not git_or_empty(workspace.root, "rev-parse", "HEAD"):
        raise ConfigError(f"{workspace.root} is not a git repository with a commit; verify compares with a fresh clone")
    changed = [
        line[3:]
        for line in git_or_empty(workspace.root, "status", "--porcelain", "--untracked-files=no").splitlines()
        if not line[3:].startswith(RUN_WRITES)
    ]
    if changed:
        raise ConfigError(f"a clone would lack these uncommitted changes: {', '.join(changed)}; commit them first")
    stages = pending(workspace)
    if stages:
        raise ConfigError(f"these stages are out of date: {', '.join(stages)}; run `sparsecbm run` first")
    configured, of_run = load_params(workspace.root / "params.yaml"), load_run_params(workspace)
    if configured != of_run:
        old, new = flat(plain_params(configured)), flat(plain_params(of_run))
        keys = ", ".join(key for key in new if new[key] != old.get(key)) or "source"
        raise ConfigError(
            f"the last run had other parameters than params.yaml: {keys}; "
            "run `sparsecbm run` without --profile and --set"
        )


def _hashes(lock: dict) -> dict[tuple[str, str], str]:
    try:
        return {
            (str(stage), str(out["path"])): str(out["md5"])
            for stage, entry in lock.get("stages", {}).items()
            for out in entry.get("outs", [])
        }
    except (AttributeError, KeyError, TypeError):
        raise ConfigError("dvc.lock has not the form that DVC writes; restore it (`git checkout dvc.lock`)") from None


def _run(
    command: list[str], cwd: Path, print_line: Callable[[str], None], environment: dict[str, str] | None = None
) -> None:
    process = subprocess.Popen(
        command, cwd=cwd, env=environment or dict(os.environ), text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    for line in process.stdout:
        print_line(line.rstrip())
    if process.wait() != 0:
        raise SparseCBMError(f"`{' '.join(command[-3:])}` failed in the fresh clone; see its output above")
