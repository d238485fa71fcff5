"""One stage as a DVC subprocess: its lines as they come, and how it ended."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import dvc_command, tool_environment
from sparsecbm.pipeline.keys import stage_key

UP_TO_DATE = "UpToDate"
RESTORED = "Restored"
COMPLETED = "Completed"
REFUSED = "Refused"  # the stage said why it cannot run; running it again would say the same
FAILED = "Failed"

# What DVC says to people who run it by hand.
CHATTER = (
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
    """How a stage ended: one of the states above, with a message for the failed ones."""

    stage: str
    state: str
    message: str = ""

    @property
    def good(self) -> bool:
        return self.state in (UP_TO_DATE, RESTORED, COMPLETED)


def run_stage(workspace: Workspace, stage: str, say: Callable[[str], None]) -> Outcome:
    """Run `dvc repro --single-item STAGE`, handing each line to `say`.

    A stage's own `error: ...` lines are kept for the outcome's message instead. Whatever interrupts
    this function ends DVC and the stage with it: they share a process group of their own.

    DVC hashes what a stage reads after it ran: an edit meanwhile would be recorded as if it had made the
    outputs. So the hashes before and after are compared here, and after an edit the stage runs again.
    """
    before = _key(workspace, stage)
    outcome = _repro(workspace, stage, say)
    after = _key(workspace, stage)
    if outcome.state == COMPLETED and after != before:
        say(f"what {stage} reads was edited while it ran; it runs again")
        outcome = _repro(workspace, stage, say, "--force")
        if outcome.good and _key(workspace, stage) != after:
            again = f"`dvc repro --force --single-item {stage}`"
            return Outcome(stage, REFUSED, f"error: what {stage} reads is edited while it runs; leave it, then {again}")
    return outcome


def _key(workspace: Workspace, stage: str) -> str | None:
    """The key of the stage's inputs; None where one is missing, which DVC says better."""
    try:
        return stage_key(workspace, stage)
    except SparseCBMError:
        return None


def _repro(workspace: Workspace, stage: str, say: Callable[[str], None], *options: str) -> Outcome:
    """Run DVC once."""
    process = subprocess.Popen(
        dvc_command("repro", "--single-item", *options, stage),
        cwd=workspace.root,
        env=tool_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        state, message = _read(process, say)
        code = process.wait()
    finally:
        _end_group(process)
    if code == 0:
        return Outcome(stage, state)
    if message:
        return Outcome(stage, REFUSED, "\n".join(message))
    return Outcome(stage, FAILED, f"error: stage {stage!r} failed; what it printed is above")


def _read(process: subprocess.Popen, say: Callable[[str], None]) -> tuple[str, list[str]]:
    """Pass lines on until the output ends; the state that DVC's words mean, and the stage's error message."""
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
                message = ["error: " + line.removeprefix("ERROR: ")]  # DVC itself refused: a dependency is missing
        elif in_message:
            message.append(line)
        elif line and not raw.startswith(CHATTER):
            say(line)
    return state, message


def _end_group(process: subprocess.Popen) -> None:
    """Leave nothing of the process group behind; DVC alone would leave its child running."""
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
