"""Runs one stage as a DVC subprocess, passes its output on line by line, and determines its final state."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.processes import stage_mark
from sparsecbm.pipeline.dvc_recovery import recover_dvc
from sparsecbm.pipeline.graph import dvc_command, tool_environment
from sparsecbm.pipeline.keys import stage_key

UP_TO_DATE = "UpToDate"
RESTORED = "Restored"
COMPLETED = "Completed"
REFUSED = "Refused"  # the stage printed an error message; a retry would print the same one
FAILED = "Failed"

# Hints of DVC for interactive use.
DVC_HINTS = (
    "To track the changes with git",
    "\tgit add",
    "To enable auto staging",
    "\tdvc config core.autostage",
    "Use `dvc push`",
    "Updating lock file",
    "Generating lock file",
    "Data and pipelines are up to date",
)
GRACE_SECONDS = 10


@dataclass(frozen=True)
class Outcome:
    """The final state of a stage, one of the states above, and a message unless it succeeded."""

    stage: str
    state: str
    message: str = ""

    @property
    def good(self) -> bool:
        return self.state in (UP_TO_DATE, RESTORED, COMPLETED)


def run_stage(workspace: Workspace, stage: str, print_line: Callable[[str], None]) -> Outcome:
    """Run `dvc repro --single-item STAGE`.

    If this function is interrupted, DVC and the stage end with it: they share a process group.

    DVC hashes the inputs of a stage after the stage ran, so it would attribute the outputs to inputs that were edited
    meanwhile. This function therefore compares the hashes before and after, and runs the stage again after an edit.

    Args:
        print_line: receives each output line, except the stage's `error: ...` lines, which become the message
    """
    before = _key(workspace, stage)
    outcome = _repro(workspace, stage, print_line)
    after = _key(workspace, stage)
    if outcome.state == COMPLETED and after != before:
        print_line(f"the inputs of {stage} were edited while it ran; it runs again")
        outcome = _repro(workspace, stage, print_line, "--force")
        if outcome.good and _key(workspace, stage) != after:
            remedy = f"stop editing them, then run `dvc repro --force --single-item {stage}`"
            return Outcome(stage, REFUSED, f"error: the inputs of {stage} were edited again while it ran; {remedy}")
    return outcome


def _key(workspace: Workspace, stage: str) -> str | None:
    """The key of the stage's inputs; None if one is missing, since DVC reports that itself."""
    try:
        return stage_key(workspace, stage)
    except SparseCBMError:
        return None


def _repro(workspace: Workspace, stage: str, print_line: Callable[[str], None], *options: str) -> Outcome:
    recover_dvc(workspace.root)
    process = subprocess.Popen(
        dvc_command("repro", "--single-item", *options, stage),
        cwd=workspace.root,
        env={**tool_environment(), **stage_mark(workspace)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        state, message = _follow(process, print_line)
        code = process.wait()
    finally:
        _end_group(process)
    if code == 0:
        return Outcome(stage, state)
    if message:
        return Outcome(stage, REFUSED, "\n".join(message))
    return Outcome(stage, FAILED, f"error: stage {stage!r} failed; see its output above")


def _follow(process: subprocess.Popen, print_line: Callable[[str], None]) -> tuple[str, list[str]]:
    """Pass on the output until it ends; return the state by DVC's messages, and the lines of the error message."""
    state, message, in_message = COMPLETED, [], False
    for raw in process.stdout:
        line = raw.rstrip()
        if line.startswith("Stage '") and line.endswith("didn't change, skipping"):
            state = UP_TO_DATE
        elif line.startswith("Stage '") and "is cached - skipping run, checking out outputs" in line:
            state = RESTORED
        if line.startswith("error: "):
            message, in_message = [line], True
        elif line.startswith("ERROR: failed to reproduce"):
            in_message = False
            if "exited with" not in line and not message:
                message = ["error: " + line.removeprefix("ERROR: ")]  # an error of DVC itself, such as a missing input
        elif in_message:
            message.append(line)
        elif line and not raw.startswith(DVC_HINTS):
            print_line(line)
    return state, message


def _end_group(process: subprocess.Popen) -> None:
    """End the whole process group; DVC alone would leave the stage running."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline:
        process.poll()
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
