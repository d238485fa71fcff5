"""The final states of the flow (promoted, held, rejected, unchanged, refused), its artifacts and notifications."""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.promote.history import FIRST, Entry
from sparsecbm.promote.ledger import Ledger, Row
from sparsecbm.promote.transaction import UnchangedError
from tests.support.prefect_runs import artifacts, task_runs
from tests.support.tiny_pipeline import ROOT, set_run_seed

pytestmark = pytest.mark.flow

ROWS = {
    "PROMOTE": Row("label", "label.accuracy", "win", value=0.9),
    "HOLD": Row("noise", "concepts.noise.accuracy", "regression", "hold", 0.5, reason="surely worse"),
    "REJECT": Row("integrity", "files", "failed", "reject", reason="a pickle"),
}


class Canned:
    """A promotion service with a fixed verdict."""

    def __init__(self, verdict):
        self.verdict = verdict
        self.promoted = []

    def gate(self, number=None):
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return Ledger("m", number or 2, 1, "test", "f" * 64, 40, (ROWS[self.verdict],), (), "hold")

    def promote(self, ledger, force=""):
        self.promoted.append(force)
        action = "promote" if ledger.verdict == "PROMOTE" or force else "refuse"
        reason = "; ".join(ledger.reasons)
        return Entry(1, "", action, 2, (1, None), (2, 1), ledger.verdict, reason, bool(force), "", "", "", FIRST)


@pytest.fixture
def another_run(services, finished_workspace, monkeypatch):
    """Return a finished workspace with its own record on the MLflow server of the session."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", services[1]["mlflow"].url)
    set_run_seed(finished_workspace, 99)
    return finished_workspace


@pytest.fixture
def canned(services, finished_workspace, monkeypatch):
    """Run the flow `promotion` with a fixed verdict and return its state and the service."""
    from flows.promotion import promotion
    from sparsecbm.orchestration import tasks

    def run(verdict, **parameters):
        service = Canned(verdict)
        monkeypatch.setattr(tasks, "_promotion_service", lambda root: service)
        state = promotion(root=str(finished_workspace.root), **parameters, return_state=True)
        return state, service

    return run


@pytest.mark.parametrize(
    ("verdict", "name", "tried"),
    [
        ("PROMOTE", "Promoted", [""]),
        ("HOLD", "Held", [""]),
        ("REJECT", "Rejected", [""]),
        (UnchangedError("version 1 is the champion"), "Unchanged", []),
    ],
)
def test_each_verdict_is_a_final_state(canned, verdict, name, tried):
    state, service = canned(verdict)
    assert (state.is_completed(), state.name, service.promoted) == (True, name, tried)


def test_every_final_state_is_documented(services):
    from sparsecbm.orchestration import tasks

    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    states = [tasks.PROMOTED, tasks.HELD, tasks.REJECTED, tasks.UNCHANGED, tasks.JUDGED]
    for state in (*states, tasks.REFUSED, tasks.POSTPONED, tasks.SKIPPED):
        assert f"`{state}`" in page


def test_an_error_fails_with_its_message_and_gate_only_promotes_nothing(canned):
    state, _ = canned(ConfigError("MLflow has no record"))
    assert (state.type.value, state.name, state.message) == ("FAILED", "Refused", "error: MLflow has no record")
    state, service = canned("PROMOTE", mode="gate-only")
    assert (state.name, service.promoted) == ("Judged", [])
    state, service = canned("HOLD", mode="gate-only")
    assert (state.name, service.promoted) == ("Held", [])


def test_the_promotion_flow_runs_on_its_own(services, finished_workspace, monkeypatch, capsys):
    """`python -m flows.promotion [VERSION]` prints the result in one line and gives an exit code."""
    from flows import promotion as module
    from sparsecbm.orchestration import tasks

    monkeypatch.chdir(finished_workspace.root)
    services = [Canned("HOLD"), Canned("PROMOTE"), Canned(ConfigError("MLflow has no record"))]
    monkeypatch.setattr(tasks, "_promotion_service", lambda root: services[0])
    assert module.main(["7"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("version 2: noise (concepts.noise.accuracy)")
    del services[0]
    assert module.main([]) == 0
    promoted = "version 2 is the champion: significantly better than version 1 in: label.accuracy"
    assert capsys.readouterr().out.splitlines()[-1] == promoted
    del services[0]
    assert module.main([]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: MLflow has no record"


def test_force_needs_a_reason(canned):
    state, service = canned("HOLD", force=True)
    assert state.name == "Refused"
    assert "so it needs --reason" in state.message
    state, service = canned("HOLD", force=True, reason="we know")
    assert (state.name, service.promoted) == ("Promoted", ["we know"])


def test_retrain_continues_with_the_gates(another_run, monkeypatch):
    from flows.retrain import retrain
    from sparsecbm.orchestration import tasks

    service = Canned("HOLD")
    monkeypatch.setattr(tasks, "_promotion_service", lambda root: service)
    root = str(another_run.root)
    state = retrain(root=root, promote="auto", return_state=True)
    assert (state.is_completed(), state.name) == (True, "Held")
    assert state.message == "version 2: noise (concepts.noise.accuracy): surely worse; " + (
        "no figure is significantly better than version 1, and promote.ties is hold"
    )
    names = {run.name.split("-")[0]: run.state.name for run in task_runs(state.state_details.flow_run_id)}
    assert (names["track"], names["gate"], names["promote"]) == ("Recorded", "Held", "Held")
    assert (
        "| noise | `concepts.noise.accuracy` | **regression** (hold) |"
        in artifacts(state.state_details.flow_run_id)["promotion-ledger"]
    )

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    state = retrain(root=root, promote="auto", return_state=True)
    assert (state.is_completed(), state.name) == (True, "Postponed")
    assert len(service.promoted) == 1


def test_nothing_is_promoted_if_the_code_changed_during_the_run(another_run, monkeypatch):
    from flows import retrain
    from sparsecbm.orchestration import tasks

    service = Canned("PROMOTE")
    monkeypatch.setattr(tasks, "_promotion_service", lambda root: service)
    (another_run.root / "sparsecbm").mkdir()
    monkeypatch.setattr(
        retrain.publish, "results", lambda workspace: (workspace.root / "sparsecbm" / "x.py").write_text("")
    )
    state = retrain.retrain(root=str(another_run.root), promote="auto", return_state=True)
    assert (state.name, service.promoted) == ("Refused", [])
    assert "code was edited while the flow ran" in state.message


class WebhookHandler(BaseHTTPRequestHandler):
    """A webhook that records its messages."""

    def do_POST(self):
        self.server.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def webhook(services, monkeypatch):
    """Return a server on loopback and the block with its address."""
    from prefect.blocks.webhook import Webhook

    from sparsecbm.orchestration.notify import save_block

    server = HTTPServer(("127.0.0.1", 0), WebhookHandler)
    server.messages, server.answer = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SPARSECBM_WEBHOOK", f"http://127.0.0.1:{server.server_port}/s3cr3t-path")
    assert save_block()
    yield server
    Webhook.delete("sparsecbm")
    server.shutdown()


def test_a_webhook_receives_the_important_states_and_its_address_stays_hidden(canned, webhook, monkeypatch, caplog):
    monkeypatch.setenv("MY_TOKEN", "t0ps3cret")
    with caplog.at_level(logging.DEBUG):
        for verdict in ("PROMOTE", "HOLD", UnchangedError("the same"), ConfigError("no, by t0ps3cret")):
            canned(verdict)
    assert [message["state"] for message in webhook.messages] == ["Promoted", "Held", "Refused"]
    assert webhook.messages[0]["text"].startswith("promotion ")
    assert webhook.messages[2]["message"] == "error: no, by ***"
    assert "s3cr3t-path" not in caplog.text
    webhook.answer = 500
    state, _ = canned("PROMOTE")
    assert state.name == "Promoted"


def test_without_a_block_there_is_no_notification(canned, monkeypatch):
    from sparsecbm.orchestration.notify import save_block

    monkeypatch.delenv("SPARSECBM_WEBHOOK", raising=False)
    assert not save_block()
    state, _ = canned("HOLD")
    assert state.name == "Held"
