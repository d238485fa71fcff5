"""The flow has one task per stage, named states, retries only after crashes, artifacts, and a record at the end."""

import subprocess
import sys
import uuid

import pytest

from sparsecbm.pipeline.lock import flow_lock
from tests.support.prefect_runs import artifacts, task_runs
from tests.support.tiny_pipeline import add_flows, free_port, git

pytestmark = pytest.mark.flow


@pytest.fixture
def workspace(services, finished_workspace, monkeypatch):
    """Return a finished workspace that records in an experiment of its own on the MLflow server of the session."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", services[1]["mlflow"].url)
    # All tests share the server, and a run that another test has recorded there would not be recorded again.
    params = finished_workspace.params
    params.write_text(params.read_text().replace("experiment: sparsecbm", f"experiment: test-{uuid.uuid4().hex}"))
    git(finished_workspace.root, "commit", "--quiet", "--all", "--message", "use an own experiment")
    return add_flows(finished_workspace)


def retrain(workspace, stages=None):
    """Run the flow; return its state, and the names of its tasks' states with their run counts."""
    from flows.retrain import retrain as flow

    state = flow(stages, str(workspace.root), return_state=True)
    runs = sorted(task_runs(state.state_details.flow_run_id), key=lambda run: run.expected_start_time)
    return state, {run.name.split("-")[0]: (run.state.name, run.run_count) for run in runs}


def test_stages_run_in_order_and_leave_states_and_artifacts(workspace):
    workspace.report.parent.mkdir(exist_ok=True)
    workspace.report.write_text("<!doctype html>")
    state, tasks = retrain(workspace)
    assert state.is_completed()
    assert tasks == {
        "ingest": ("Completed", 1),
        "validate": ("UpToDate", 1),
        "finetune": ("UpToDate", 1),
        "evaluate": ("UpToDate", 1),
        "track": ("Recorded", 1),
    }
    assert list(tasks) == ["ingest", "validate", "finetune", "evaluate", "track"]
    published = artifacts(state.state_details.flow_run_id)
    assert set(published) == {"validation-report", "metrics", "report", "mlflow-run"}
    assert str(workspace.report) in published["report"] and "| label | 0.500 |" in published["report"]
    assert "| rows.quarantined | 1 |" in published["validation-report"]
    assert "label.accuracy" in str(published["metrics"])
    assert "/runs/" in published["mlflow-run"]

    text = workspace.params.read_text()
    workspace.params.write_text(text.replace("seed: 13", "seed: 14"))
    assert retrain(workspace, ["finetune"])[1] == {
        "ingest": ("Completed", 1), "finetune": ("Completed", 1), "track": ("Skipped", 1),
    }  # fmt: skip
    workspace.params.write_text(text)
    assert retrain(workspace)[1] == {**tasks, "finetune": ("Restored", 1), "track": ("UpToDate", 1)}


def test_the_flow_retries_a_crash_but_no_refusal(workspace):
    (workspace.root / "fault").write_text("ingest crash")
    state, tasks = retrain(workspace, ["ingest"])
    assert (state.type.value, state.message) == ("FAILED", "error: stage 'ingest' failed; see its output above")
    assert tasks == {"ingest": ("Failed", 2)}
    assert (workspace.root / "tries").read_text() == "xx"

    (workspace.root / "fault").write_text("ingest refuse")
    state, tasks = retrain(workspace)
    assert (state.name, state.message) == ("Refused", "error: the data is bad\n  row 7: no text")
    assert tasks == {"ingest": ("Refused", 1)}


def test_a_tracking_server_that_is_down_postpones_the_record(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    state, tasks = retrain(workspace)
    assert state.is_completed()
    assert tasks["track"] == ("Postponed", 1)


def test_tracking_can_be_turned_off(workspace):
    text = workspace.params.read_text()
    workspace.params.write_text(text.replace("  enabled: true\n  experiment", "  enabled: false\n  experiment"))
    assert workspace.params.read_text() != text
    assert retrain(workspace)[1]["track"] == ("Skipped", 1)


def test_a_busy_workspace_refuses_a_second_flow(workspace):
    with flow_lock(workspace):
        state, tasks = retrain(workspace)
    assert state.name == "Refused"
    assert "already running a flow (process" in state.message
    assert tasks == {}


def test_the_command_line_prints_the_message_of_a_stage_once(workspace):
    (workspace.root / "fault").write_text("ingest refuse")
    result = _command(workspace, "run", "ingest")
    assert (result.returncode, result.stderr) == (1, "error: the data is bad\n  row 7: no text\n")
    assert "the data is bad" not in result.stdout


def test_without_a_server_the_command_line_runs_the_whole_chain(tiny_workspace, monkeypatch):
    for variable in ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SPARSECBM_MLFLOW_PORT", str(free_port()))
    result = _command(add_flows(tiny_workspace), "run", "--set", "seed=21")
    assert (result.returncode, result.stderr) == (0, "")
    for line in ("finetune: Completed", "evaluate: Completed", "track: Recorded", "all 4 stages are up to date"):
        assert line in result.stdout
    assert "\x1b[" not in result.stdout
    assert (tiny_workspace.root / "models/dense/weights.txt").read_text() == "seed: 21"

    result = _command(tiny_workspace, "track")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("was complete: `sparsecbm up` shows it in MLflow\n")  # no link that leads nowhere


def _command(workspace, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "sparsecbm", *arguments], cwd=workspace.root, capture_output=True, text=True
    )


def test_state_and_output_contain_no_secrets_of_a_stage(workspace, monkeypatch, capsys):
    monkeypatch.setenv("STORE_PASSWORD", "hunter22")
    stage = workspace.root / "stage.py"
    text = stage.read_text().replace("row 7: no text", "no answer from https://ann:pass@example.org by hunter22")
    stage.write_text(text.replace("this is {name}", "this is {name} by hunter22"))
    (workspace.root / "fault").write_text("ingest refuse")
    state, _ = retrain(workspace, ["ingest"])
    assert state.message == "error: the data is bad\n  no answer from https://***@example.org by ***"
    screen = capsys.readouterr().out
    assert "this is ingest by ***" in screen
    assert "hunter22" not in screen
