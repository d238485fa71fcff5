"""However a run ends, no process remains, and one line says so."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sparsecbm.orchestration.processes import find_processes, stage_mark
from sparsecbm.orchestration.services import down
from tests.support.processes import processes_of
from tests.support.tiny_pipeline import ROOT, add_flows


@pytest.mark.flow
def test_a_terminated_run_ends_its_flow_and_its_stage(tiny_workspace, monkeypatch):
    for variable in ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    (add_flows(tiny_workspace).root / "fault").write_text("ingest hang")
    run = subprocess.Popen(
        [sys.executable, "-m", "sparsecbm", "run"], cwd=tiny_workspace.root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    _stage_pid(tiny_workspace)
    family = psutil.Process(run.pid).children(recursive=True)
    assert len(family) >= 4  # the flow, its server, DVC, the stage
    run.send_signal(signal.SIGTERM)
    output, message = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGTERM
    assert message == "terminated; the next run continues from here\n"
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


def test_a_stage_of_a_killed_flow_is_found(tiny_workspace):
    """SIGKILL gives a flow no chance to end its stage."""
    (tiny_workspace.root / "fault").write_text("ingest hang")
    code = (
        "from pathlib import Path; from sparsecbm.orchestration.stage import run_stage\n"
        "from sparsecbm.base.workspace import Workspace\n"
        f"run_stage(Workspace(Path({str(tiny_workspace.root)!r})), 'ingest', print)"
    )
    flow = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL)
    pid = _stage_pid(tiny_workspace)
    flow.kill()
    flow.wait()
    assert pid in {process.pid for process in find_processes(stage_mark(tiny_workspace))}
    assert down(tiny_workspace) == ["stages"]
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert down(tiny_workspace) == []


def test_a_closed_pipe_is_no_trace():
    code = (
        "import time; from sparsecbm.orchestration.screen import Screen\n"
        "from sparsecbm.orchestration.endings import PipeClosed, discard_output\n"
        "try:\n    for _ in range(10000): Screen().line('x' * 1000)\n"
        "except PipeClosed:\n    discard_output(); raise SystemExit(141)"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    writer.stdout.readline()
    writer.stdout.close()
    assert writer.wait(60) == 141
    assert writer.stderr.read() == ""


def test_a_child_ends_with_its_parent():
    child_code = (
        "import os, sys, time; from sparsecbm.orchestration.endings import end_with; end_with(int(sys.argv[1]))\n"
        "print(os.getpid(), flush=True); time.sleep(300)"
    )
    parent_code = (
        f"import os, subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child_code!r}, str(os.getpid())]).wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs([child], timeout=20)
    assert alive == []
    assert parent.wait() == -signal.SIGKILL


@pytest.mark.parametrize("named", ["by an argument", "in the environment", "as the working folder", "nowhere"])
def test_a_process_that_is_left_of_a_folder_is_found(tmp_path, named):
    """`tests/orchestration/test_end_to_end.py` relies on it to say that nothing is left."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    command = [sys.executable, "-c", "print(1, flush=True); import time; time.sleep(300)"]
    command += [f"--root={folder}/params.yaml"] if named == "by an argument" else []
    variables = {"HOME_OF_IT": str(folder)} if named == "in the environment" else {}
    where = folder if named == "as the working folder" else tmp_path
    with subprocess.Popen(command, cwd=where, env={**os.environ, **variables}, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            assert [each.pid for each in processes_of(folder)] == [process.pid] * (named != "nowhere")
        finally:
            process.kill()
    assert processes_of(folder) == []


def _stage_pid(workspace, seconds=120):
    """Wait until the stage hangs; return its process."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        path = workspace.root / "pid"
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.1)
    raise AssertionError("the stage did not start")
