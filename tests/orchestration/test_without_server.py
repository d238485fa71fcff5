"""If Prefect's server does not start, the same stages run without it, and the terminal says so."""

import os
import shutil
import sys

import pytest

from sparsecbm.orchestration import temporary_server
from sparsecbm.orchestration.temporary_server import TemporaryServer
from tests.support.tiny_pipeline import add_flows


@pytest.fixture
def prefect_home(tmp_path, monkeypatch):
    """Keep the import of Prefect away from the settings of this machine, and from any server."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")


def test_a_server_that_does_not_start_is_tried_again(tiny_workspace, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(sys, "executable", str(_program(tiny_workspace, "echo started >> starts; exit 3")))
    server = TemporaryServer(tiny_workspace)
    assert server.wait() is False
    assert (tiny_workspace.root / "starts").read_text() == "started\n" * temporary_server.ATTEMPTS


def test_a_server_that_hangs_is_ended(tiny_workspace, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(sys, "executable", str(_program(tiny_workspace, "echo $$ >> pids; exec sleep 100")))
    server = TemporaryServer(tiny_workspace)
    assert server.wait(seconds=0.5) is False
    pids = [int(pid) for pid in (tiny_workspace.root / "pids").read_text().split()]
    assert len(pids) == temporary_server.ATTEMPTS
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_all_steps_run_without_a_server(tiny_workspace, migrated, prefect_home, monkeypatch, capsys):
    tiny_workspace.state.mkdir()
    shutil.copy(migrated, tiny_workspace.state / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from flows.retrain import retrain
    from sparsecbm.orchestration.calls import without_server

    with without_server():
        state = retrain.fn(root=str(add_flows(tiny_workspace).root))
    assert state.is_completed(), state.message
    assert state.message.startswith("all 4 stages are up to date after ")
    lines = capsys.readouterr().out.splitlines()
    for line in ("  finetune: Completed", "  track: Recorded", "  concepts: food 0.250",
                 "  accuracy on test: label 0.500 (0.400 to 0.600, majority 0.250)"):  # fmt: skip
        assert any(printed.startswith(line) for printed in lines), line
    assert (tiny_workspace.root / "models/dense/weights.txt").read_text() == "seed: 13"


def test_a_crash_is_tried_again_without_a_server_but_a_refusal_is_not(tiny_workspace, prefect_home):
    from flows.retrain import retrain
    from sparsecbm.orchestration.calls import without_server

    for fault, message in (
        ("ingest crash", "error: stage 'ingest' failed; see its output above"),
        ("ingest refuse", "error: the data is bad\n  row 7: no text"),
    ):
        (tiny_workspace.root / "fault").write_text(fault)
        with without_server():
            state = retrain.fn(["ingest"], str(tiny_workspace.root))
        assert (state.is_completed(), state.message) == (False, message)
    assert (tiny_workspace.root / "tries").read_text() == "xx"


@pytest.fixture
def server(tiny_workspace, monkeypatch):
    """Return a function that makes a temporary server whose `wait` says at once whether it answers."""
    monkeypatch.setattr(os, "environ", dict(os.environ))

    def make(answers):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(_program(tiny_workspace, "exit 3")))
            server = TemporaryServer(tiny_workspace)
        monkeypatch.setattr(server, "wait", lambda: answers)
        return server

    return make


def test_a_run_whose_server_does_not_start_goes_on_and_says_so(server, tiny_workspace, prefect_home, capsys):
    from flows.retrain import retrain
    from sparsecbm.orchestration.launch import run_in_terminal

    silent = server(answers=False)
    assert run_in_terminal(retrain, silent, stages=["ingest"], root=str(add_flows(tiny_workspace).root)) == 0
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    said = f"  Prefect's server does not start (see {silent.log}); this run goes on without it, so no page shows it"
    assert lines.count(said) == 1 and lines.index(said) < lines.index("[1/1] ingest")
    assert lines[-1].startswith("all 1 stages are up to date after ") and errors == ""
    assert silent.log.is_file()  # the file that the message names


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("ingest refuse", "error: the data is bad\n  row 7: no text\n"),
        ("ingest crash", "error: stage 'ingest' failed; see its output above\n"),
    ],
)
def test_a_failure_without_a_server_has_its_message_and_exit_code(
    server, tiny_workspace, prefect_home, capsys, fault, message
):
    from flows.retrain import retrain
    from sparsecbm.orchestration.launch import run_in_terminal

    (tiny_workspace.root / "fault").write_text(fault)
    assert run_in_terminal(retrain, server(answers=False), stages=["ingest"], root=str(tiny_workspace.root)) == 1
    output, errors = capsys.readouterr()
    assert "goes on without it" in output and errors == message


class _Flow:
    """A flow that notes whether Prefect ran it or its function was called alone."""

    name = "noted"

    def __init__(self, state):
        self.calls, self._state = [], state

    def __call__(self, return_state, **parameters):
        self.calls.append(("by Prefect", _has_server(), parameters))
        return self._state

    def fn(self, **parameters):
        self.calls.append(("alone", _has_server(), parameters))
        return self._state


def _has_server():
    from sparsecbm.orchestration.calls import has_server

    return has_server()


@pytest.mark.parametrize(
    ("answers", "call"),
    [
        (True, ("by Prefect", True, {"a": 1})),
        (None, ("by Prefect", True, {"a": 1})),
        (False, ("alone", False, {"a": 1})),
    ],
)
def test_prefect_runs_the_flow_exactly_if_a_server_answers(server, prefect_home, capsys, answers, call):
    """None stands for a server of `sparsecbm up`, which `prepare` does not start."""
    from prefect.states import Completed

    from sparsecbm.orchestration.launch import run_in_terminal

    flow = _Flow(Completed(message="done"))
    assert run_in_terminal(flow, None if answers is None else server(answers), a=1) == 0
    assert flow.calls == [call]
    assert ("goes on without it" in capsys.readouterr().out) == (answers is False)
    assert _has_server()  # later calls of this process have it again


def test_an_error_of_prefect_itself_is_one_message(server, prefect_home, monkeypatch, capsys):
    from sparsecbm.orchestration.launch import run_in_terminal

    class Broken(_Flow):
        def __call__(self, return_state, **parameters):
            raise OSError("no space")

    monkeypatch.delenv("SPARSECBM_DEBUG", raising=False)
    assert run_in_terminal(Broken(None), server(answers=True)) == 1
    assert capsys.readouterr().err == "error: Prefect could not run the flow: no space (--debug shows the trace)\n"


def _program(workspace, script):
    """Return an executable that runs a script instead of Python."""
    path = workspace.root / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_webhook_of_the_environment_is_called_without_a_server(prefect_home, monkeypatch):
    from prefect.blocks.webhook import Webhook
    from prefect.states import Completed, Failed

    from flows.retrain import retrain
    from sparsecbm.orchestration.calls import without_server
    from sparsecbm.orchestration.notify import notify_without_server

    calls = []

    async def call(self, payload):
        calls.append((self.url.get_secret_value(), payload["flow"], payload["text"]))
        raise OSError("a webhook that fails never fails the run")

    monkeypatch.setattr(Webhook, "call", call)
    failed = Failed(message="error: cannot reach https://ann:pass-of-ann@example.org")
    with without_server():
        notify_without_server(retrain, failed)
        monkeypatch.setenv("SPARSECBM_WEBHOOK", "https://hooks.example.org/key")
        notify_without_server(retrain, Completed(message="all is well"))
        assert calls == []
        notify_without_server(retrain, failed)
    text = "retrain without Prefect: Failed. error: cannot reach https://***@example.org"
    assert calls == [("https://hooks.example.org/key", "retrain", text)]
