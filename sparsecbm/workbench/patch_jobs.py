"""Patches that people ask for on the page: each is made by a process of its own, so the page goes on answering.

A job is a folder: `request.json`, then `made.patch` with `remedies.json`, or `fault.txt`. Its process holds a lock on
`process.lock` as long as it lives, whatever becomes of the server. So the files alone tell the state of every job.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.files import read_json
from sparsecbm.base.params import load_params
from sparsecbm.base.params.intervene import Intervene
from sparsecbm.base.workspace import Workspace
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.workbench.patch_process import FAULT, PATCH, PHASE, REMEDIES, REQUEST
from sparsecbm.workbench.patch_request import PatchLimits, PatchRequest

PROCESS, ERRORS = "process.lock", "errors.txt"
APPROVED = "approved"  # folder of the patches that somebody approved
PATIENCE = 10.0  # seconds that a process may take to end before it is killed

State = Literal["running", "made", "failed", "interrupted"]


@dataclass(frozen=True)
class PatchJob:
    """A request and what became of it."""

    request: PatchRequest
    folder: Path
    state: State

    @cached_property
    def patch(self) -> MaskPatch | None:
        """The patch with its side effects, once it is made."""
        return MaskPatch.load(self.folder / PATCH) if self.state == "made" else None

    @cached_property
    def remedies(self) -> dict[str, Any] | None:
        """The patch beside other remedies, in the published form."""
        path = self.folder / REMEDIES
        return read_json(path) if self.state == "made" and path.is_file() else None

    @property
    def fault(self) -> str:
        """Why there is no patch."""
        return _text(self.folder / FAULT)

    @property
    def phase(self) -> str:
        """What its process does now."""
        return _text(self.folder / PHASE) or "it begins"


class PatchJobs:
    """The jobs of one workspace. One runs at a time, since each needs the whole machine."""

    def __init__(self, workspace: Workspace, model: Path) -> None:
        self._workspace, self._folder, self._model = workspace, workspace.patch_requests, model
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, request: PatchRequest) -> PatchJob:
        """Begin to make a patch; a request that is sent twice gives one job.

        Raises:
            ConfigError: another one is being made.
        """
        with self._turn():
            if request.id not in self._names():
                self._refuse_second()
                (self._folder / request.id).mkdir(exist_ok=True)
                request.save(self._folder / request.id / REQUEST)
                self._run(request.id)
        return self.job(request.id)

    def again(self, name: str, limits: PatchLimits) -> PatchJob:
        """Run an interrupted or failed job again, within other limits.

        Raises:
            ConfigError: there is no such job, it needs no other run, or another one is running.
        """
        with self._turn():
            job = self.job(name)
            if job.state not in ("failed", "interrupted"):
                raise ConfigError(f"this patch is {job.state}")
            self._refuse_second()
            replace(job.request, limits=limits).save(job.folder / REQUEST)
            for left in (FAULT, PHASE):
                (job.folder / left).unlink(missing_ok=True)
            self._run(name)
        return self.job(name)

    def stop(self, name: str) -> None:
        """End the process of a job, also one that an earlier server started; without one, nothing happens."""
        lock = self.job(name).folder / PROCESS
        number, end = _process_number(lock), time.monotonic() + PATIENCE
        with suppress(ProcessLookupError):
            while number is not None and _is_held(lock):
                os.kill(number, signal.SIGTERM if time.monotonic() < end else signal.SIGKILL)
                time.sleep(0.05)

    def job(self, name: str) -> PatchJob:
        """A job by its id.

        Raises:
            ConfigError: there is none.
        """
        self._children = [child for child in self._children if child.poll() is None]  # ended ones leave the system
        names = self._names()
        if name not in names:
            raise ConfigError(unknown("patch", name, names))
        folder = self._folder / name
        return PatchJob(PatchRequest.load(folder / REQUEST), folder, _state(folder))

    def jobs(self) -> list[PatchJob]:
        """All jobs, the latest first."""
        return sorted(map(self.job, self._names()), key=lambda job: (job.request.at, job.request.id), reverse=True)

    def defaults(self, model: ConceptBottleneck) -> PatchLimits:
        """The limits of a patch that nobody chose others for; a dense model has no bits.

        Raises:
            ConfigError: the parameters of the workspace are wrong.
        """
        path = self._workspace.params
        settings = _settings(path, path.stat().st_mtime_ns)
        return PatchLimits(PatchLimits().options(model, settings).budget if model.masked else None, settings.max_harm)

    def set_approved(self, names: Collection[str]) -> None:
        """Let the folder of approved patches hold these and no others. No model changes."""
        folder = self._folder / APPROVED
        for path in folder.glob("*.patch"):
            if path.stem not in names:
                path.unlink(missing_ok=True)
        for name in names:
            target, made = self.approved_file(name), self._folder / name / PATCH
            if not target.is_file() and made.is_file():
                folder.mkdir(exist_ok=True)
                shutil.copyfile(made, target.with_suffix(".new"))
                target.with_suffix(".new").rename(target)

    def approved_file(self, name: str) -> Path:
        """Where an approved patch is."""
        return self._folder / APPROVED / f"{name}.patch"

    def _names(self) -> list[str]:
        return sorted(path.parent.name for path in self._folder.glob(f"*/{REQUEST}"))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let threads and servers start jobs one after the other."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with open(self._folder / ".lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _refuse_second(self) -> None:
        if any(_is_held(self._folder / name / PROCESS) for name in self._names()):
            raise ConfigError("a patch is being made; ask again when it is there, or stop it")

    def _run(self, name: str) -> None:
        root, folder = self._workspace.root.resolve(), (self._folder / name).resolve()
        command = [sys.executable, "-m", "sparsecbm.workbench.patch_process"]
        with open(folder / PROCESS, "wb") as lock, open(folder / ERRORS, "wb") as errors:
            # The lock belongs to the open file, which the process inherits: it ends when the process does.
            fcntl.flock(lock, fcntl.LOCK_EX)
            child = subprocess.Popen(
                [*command, str(root), str(self._model.resolve()), str(folder)], cwd=root, 
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, pass_fds=[lock.fileno()],
            )  # fmt: skip
            lock.write(str(child.pid).encode())
        self._children.append(child)


def as_json(job: PatchJob) -> str:
    """A job as JSON: request, state, and the patch and its remedies in their published forms."""
    patch = None if job.patch is None else job.patch.to_dict()
    facts = {"request": asdict(job.request), "state": job.state, "fault": job.fault, "patch": patch}
    return json.dumps({**facts, "remedies": job.remedies})


@lru_cache(maxsize=1)
def _settings(params: Path, changed: int) -> Intervene:
    """The parameters of patches, read again only when their file has changed."""
    return load_params(params).intervene


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _state(folder: Path) -> State:
    # The patch is looked for last: a process that ends meanwhile has written it before.
    held = _is_held(folder / PROCESS)
    if (folder / PATCH).is_file():
        return "made"
    if held:
        return "running"
    return "failed" if (folder / FAULT).is_file() else "interrupted"


def _is_held(lock: Path) -> bool:
    """Whether a process of a job is alive."""
    try:
        with open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _process_number(lock: Path) -> int | None:
    """The number of the process that holds a lock; None before it is written."""
    return int(lock.read_bytes() or 0) or None if lock.is_file() else None
