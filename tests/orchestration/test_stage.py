"""A stage run by DVC: its final state and message; an interruption leaves no process."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.orchestration.stage import COMPLETED, FAILED, REFUSED, RESTORED, UP_TO_DATE, Outcome, run_stage
from sparsecbm.pipeline.graph import pending
from sparsecbm.pipeline.lock import WorkspaceBusyError, flow_lock
from tests.support.tiny_pipeline import ROOT, set_run_seed


def run(workspace, stage):
    lines = []
    return run_stage(workspace, stage, lines.append), lines


def test_states_agree_with_what_dvc_does(finished_workspace):
    assert run(finished_workspace, "finetune")[0] == Outcome("finetune", UP_TO_DATE)
    set_run_seed(finished_workspace, 14)
    outcome, lines = run(finished_workspace, "finetune")
    assert outcome == Outcome("finetune", COMPLETED)
    assert lines == ["Running stage 'finetune':", "> python stage.py finetune", "this is finetune"]
    set_run_seed(finished_workspace, 13)
    assert run(finished_workspace, "finetune")[0] == Outcome("finetune", RESTORED)


def test_a_refusal_has_the_message_of_the_stage(finished_workspace):
    (finished_workspace.root / "fault").write_text("ingest refuse")
    outcome, lines = run(finished_workspace, "ingest")
    assert outcome == Outcome("ingest", REFUSED, "error: the data is bad\n  row 7: no text")
    assert lines == ["Running stage 'ingest':", "> python stage.py ingest", "this is ingest"]


def test_a_crash_is_not_a_refusal(finished_workspace):
    (finished_workspace.root / "fault").write_text("ingest crash")
    outcome, _ = run(finished_workspace, "ingest")
    assert outcome == Outcome("ingest", FAILED, "error: stage 'ingest' failed; see its output above")


def test_dvc_rejects_a_missing_input(tiny_workspace):
    outcome, _ = run(tiny_workspace, "validate")
    assert outcome.state == REFUSED
    assert outcome.message.startswith("error: failed to reproduce 'validate'")
    assert "data/ingested" in outcome.message


def test_an_edit_while_a_stage_runs_makes_it_run_again(finished_workspace):
    set_run_seed(finished_workspace, 14)
    (finished_workspace.root / "fault").write_text("finetune edit 1")
    outcome, lines = run(finished_workspace, "finetune")
    assert outcome == Outcome("finetune", COMPLETED)
    assert lines.count("this is finetune") == 2
    assert "the inputs of finetune were edited while it ran; it runs again" in lines
    assert "finetune" not in pending(finished_workspace)


def test_repeated_edits_are_an_error(finished_workspace):
    set_run_seed(finished_workspace, 14)
    (finished_workspace.root / "fault").write_text("finetune edit 9")
    outcome, lines = run(finished_workspace, "finetune")
    assert outcome.state == REFUSED
    assert outcome.message.endswith("stop editing them, then run `dvc repro --force --single-item finetune`")
    assert lines.count("this is finetune") == 2


def test_an_interruption_leaves_no_process(tiny_workspace):
    (tiny_workspace.root / "fault").write_text("ingest hang")
    code = (  # a background job of a shell ignores the signal, and so do its children
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path; from sparsecbm.orchestration.stage import run_stage\n"
        "from sparsecbm.base.workspace import Workspace\n"
        f"run_stage(Workspace(Path({str(tiny_workspace.root)!r})), 'ingest', print)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    pid_file = tiny_workspace.root / "pid"
    pid = _wait_for(lambda: pid_file.exists() and pid_file.read_text())
    assert psutil.pid_exists(int(pid))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    _wait_for(lambda: not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE)


def test_one_flow_at_a_time_in_a_workspace(tiny_workspace):
    with flow_lock(tiny_workspace):
        for _ in range(2):  # a refused flow does not change the lock file of the running flow
            message = rf"already running a flow \(process {os.getpid()}, since 20"
            with pytest.raises(WorkspaceBusyError, match=message), flow_lock(tiny_workspace):
                pass
    with flow_lock(tiny_workspace):
        assert issubclass(WorkspaceBusyError, SparseCBMError)


def _wait_for(ready, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = ready()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("timeout")
