"""Patches that people ask for on the page: each is made by a process of its own, so the page goes on answering.

A job is a folder: `request.json`, then `made.patch` or `fault.txt`. What it lacks after a crash tells that it was
interrupted; nothing else is stored.
"""

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.files import read_json, write_json, write_text
from sparsecbm.base.workspace import Workspace
from sparsecbm.intervene.patches.patch import MaskPatch

REQUEST, PATCH, FAULT, ERRORS = "request.json", "made.patch", "fault.txt", "errors.txt"
APPROVED = "approved"  # folder of the patches that somebody approved
LONGEST_FAULT = 2000  # characters

State = Literal["running", "made", "failed", "interrupted"]


@dataclass(frozen=True)
class PatchRequest:
    """What a person wants: that the model reads a state of a concept in a text."""

    id: str
    text: str
    concept: str
    state: str
    author: str
    reason: str
    at: str


@dataclass(frozen=True)
class PatchJob:
    """A request and what became of it."""

    request: PatchRequest
    folder: Path
    state: State

    @cached_property
    def patch(self) -> MaskPatch | None:
        """The patch with its bill, once it is made."""
        return MaskPatch.load(self.folder / PATCH) if self.state == "made" else None

    @property
    def fault(self) -> str:
        """Why there is no patch."""
        path = self.folder / FAULT
        return path.read_text(encoding="utf-8") if path.is_file() else ""


class PatchJobs:
    """The jobs of one workspace. One runs at a time, since each needs the whole machine."""

    def __init__(self, workspace: Workspace, model: Path) -> None:
        self._root, self._folder, self._model = workspace.root, workspace.patch_requests, model
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, text: str, concept: str, state: str, author: str, reason: str) -> PatchJob:
        """Begin to make a patch.

        Raises:
            ConfigError: another one is being made.
        """
        self._collect()
        if self._running:
            raise ConfigError("a patch is being made; ask again when it is there, or stop it")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        request = PatchRequest(uuid.uuid4().hex[:12], text, concept, state, author, reason, at)
        folder = self._folder / request.id
        folder.mkdir(parents=True)
        write_json(folder / REQUEST, asdict(request))
        self._run(request)
        return self.job(request.id)

    def again(self, name: str) -> PatchJob:
        """Run an interrupted or failed job again.

        Raises:
            ConfigError: there is no such job, it needs no other run, or another one is running.
        """
        job = self.job(name)
        if job.state not in ("failed", "interrupted"):
            raise ConfigError(f"this patch is {job.state}")
        if self._running:
            raise ConfigError("a patch is being made; ask again when it is there, or stop it")
        (job.folder / FAULT).unlink(missing_ok=True)
        self._run(job.request)
        return self.job(name)

    def stop(self, name: str) -> None:
        """End the process of a job; without one, nothing happens."""
        process = self._running.get(name)
        if process is not None:
            process.terminate()
            process.wait()
            self._running.pop(name, None)

    def job(self, name: str) -> PatchJob:
        """A job by its id.

        Raises:
            ConfigError: there is none.
        """
        self._collect()
        names = self._names()
        if name not in names:
            raise ConfigError(unknown("patch", name, names))
        folder = self._folder / name
        request = PatchRequest(**read_json(folder / REQUEST))
        return PatchJob(request, folder, self._state(name, folder))

    def jobs(self) -> list[PatchJob]:
        """All jobs, the latest first."""
        return sorted(map(self.job, self._names()), key=lambda job: (job.request.at, job.request.id), reverse=True)

    def approve(self, name: str) -> Path:
        """Put a patch beside the approved ones, and return its file.

        Raises:
            ConfigError: it is not made.
        """
        job = self.job(name)
        if job.state != "made":
            raise ConfigError(f"this patch is {job.state}, so nobody can approve it")
        target = self.approved_file(name)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(job.folder / PATCH, target.with_suffix(".new"))
        target.with_suffix(".new").rename(target)
        return target

    def withdraw(self, name: str) -> None:
        """Take a patch away from the approved ones. No model was changed, so nothing else is to undo."""
        self.approved_file(name).unlink(missing_ok=True)

    def approved_file(self, name: str) -> Path:
        """Where an approved patch is."""
        return self._folder / APPROVED / f"{name}.patch"

    def _names(self) -> list[str]:
        return sorted(path.parent.name for path in self._folder.glob(f"*/{REQUEST}"))

    def _state(self, name: str, folder: Path) -> State:
        if (folder / PATCH).is_file():
            return "made"
        if name in self._running:
            return "running"
        return "failed" if (folder / FAULT).is_file() else "interrupted"

    def _run(self, request: PatchRequest) -> None:
        folder = (self._folder / request.id).resolve()
        command = [
            sys.executable, "-m", "sparsecbm", "patch", "make", str(self._model.resolve()),
            f"--concept={request.concept}", f"--state={request.state}", f"--text={request.text}",
            f"--author={request.author}", f"--note={request.reason}", "--output", str(folder / PATCH), "--json",
        ]  # fmt: skip
        with open(folder / ERRORS, "wb") as errors:
            process = subprocess.Popen(
                command, cwd=self._root, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )
        self._running[request.id] = process

    def _collect(self) -> None:
        """Note what became of processes that ended."""
        for name, process in list(self._running.items()):
            if process.poll() is None:
                continue
            folder = self._folder / name
            if process.returncode > 0 and not (folder / PATCH).is_file():
                told = (folder / ERRORS).read_text(encoding="utf-8", errors="replace").strip().rpartition("error: ")[2]
                write_text(folder / FAULT, told[-LONGEST_FAULT:] or "the process ended without a word")
            (folder / ERRORS).unlink(missing_ok=True)
            del self._running[name]


def decisions(entries: list[dict[str, Any]]) -> Mapping[str, dict[str, Any]]:
    """Id of a patch -> the entry of the journal that decides on it now."""
    return {entry["patch"]: entry for entry in entries if entry["action"] in ("approve", "reject", "withdraw")}


def as_json(job: PatchJob) -> str:
    """A job as JSON: request, state, and the patch in its published form."""
    patch = None if job.patch is None else job.patch.to_dict()
    return json.dumps({"request": asdict(job.request), "state": job.state, "fault": job.fault, "patch": patch})
