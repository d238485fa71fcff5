"""A day in production, from a clean clone to stopped services, as docs/production-day.md tells it.

Services start, a schedule fires, a challenger is trained, judged and promoted while clients ask, a client corrects an
answer, texts drift and a model learns from them, and the promotion is taken back. The graph is short and the model
tiny; everything else is real.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error

import psutil
import pytest

from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.access import credentials
from tests.support.processes import processes_of
from tests.support.production_day import add_new_texts, let_it_learn, make_project, name_author, write_windows
from tests.support.service_access import authorization, request
from tests.support.tiny_pipeline import free_port, git

pytestmark = [pytest.mark.flow, pytest.mark.slow]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Return a clean clone of a small project without any run, with free ports and no outside settings."""
    origin = tmp_path / "origin"
    make_project(origin)
    git(tmp_path, "clone", "--quiet", str(origin), "clone")
    for variable in list(os.environ):
        if variable.startswith(("PREFECT_", "MLFLOW_", "SPARSECBM_", "PYTHONPATH")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("SPARSECBM_PREFECT_PORT", str(free_port()))
    monkeypatch.setenv("SPARSECBM_MLFLOW_PORT", str(free_port()))
    return Workspace(tmp_path / "clone")


def command(workspace, *arguments, code=0):
    result = subprocess.run(
        [sys.executable, "-m", "sparsecbm", *arguments], cwd=workspace.root, capture_output=True, text=True
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


def wait(ready, description, seconds=600):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = ready()
        if result:
            return result
        time.sleep(0.5)
    raise AssertionError(f"timeout: {description}")


class Prefect:
    """The server's API, as a program of this machine uses it."""

    def __init__(self, workspace, api):
        self.api = api
        self._headers = authorization(workspace)

    def deployment(self, name):
        return request(f"{self.api}/deployments/name/{name}", headers=self._headers)["id"]

    def ended(self, deployment):
        """Return type, name and message of the state of the first finished run of a deployment."""
        query = {"deployments": {"id": {"any_": [deployment]}}, "sort": "START_TIME_ASC"}
        states = [run["state"] for run in request(f"{self.api}/flow_runs/filter", query, self._headers)]
        return next((s for s in states if s["type"] in ("COMPLETED", "FAILED", "CRASHED")), None)

    def pause(self, deployment):
        request(f"{self.api}/deployments/{deployment}/pause_deployment", None, self._headers, "POST")


class Client:
    """Asks a service for the same text again and again, and notes each answer with the version that gave it."""

    def __init__(self, url):
        self.url = url
        self.answers = []  # (version, label, confidence)
        self.faults = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def version(self):
        return self.answers[-1][0] if self.answers else None

    def _ask(self):
        while not self._end.wait(0.1):
            try:
                answer = request(f"{self.url}/v1/predict", {"texts": [TEXT]})
            except OSError as error:
                self.faults.append(error)
            else:
                (row,) = answer["predictions"]
                self.answers.append((answer["model"]["version"], row["label"], row["confidence"]))


TEXT = "the food was good"


def commit(workspace, message):
    git(workspace.root, "commit", "--quiet", "--all", "--message", message)


def test_a_day_in_production(clone):
    """The code in the workspace is broken while the schedule fires; the scheduled run must not use it."""
    # The first champion is promoted by hand and has learnt almost nothing.
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=clone.root, check=True)
    command(clone, "track")
    assert "promoted: version 1 is the champion" in command(clone, "promote")
    let_it_learn(clone.params)
    name_author(clone.root)
    git(clone.root, "add", "dvc.lock")
    commit(clone, "learn")
    (clone.root / "sparsecbm" / "model" / "cbm.py").write_text("this edit is not committed")
    (clone.root / "stage.py").write_text("nor is this")

    assert "Prefect  http://127.0.0.1:" in command(clone, "up")
    noted = json.loads((clone.state / "services.json").read_text())
    services = [service["pid"] for service in noted.values()]
    served, down = None, None
    try:
        prefect = Prefect(clone, noted["prefect"]["api"])
        nightly = prefect.deployment("retrain/nightly")
        served = start_service(clone, noted["mlflow"]["url"])
        running = {process.pid for process in processes_of(clone.root)}
        assert len(services) == 3 and running >= {*services, served.pid}
        with Client(served.url) as client:
            wait(client.version, "the service")
            assert client.version() == "1"
            client.faults.clear()  # it was not up at first

            state = wait(lambda: prefect.ended(nightly), "the scheduled run")
            prefect.pause(nightly)
            assert (state["type"], state["name"]) == ("COMPLETED", "Promoted"), state["message"]
            assert "significantly better than version 1 in: " in state["message"]
            wait(lambda: client.version() == "2", "the service to follow the champion")
            git(clone.root, "checkout", "--quiet", "--", ".")
            assert "version 2, since" in command(clone, "status")
            # The proposed results bring the new model into the workspace.
            git(clone.root, "merge", "--quiet", git(clone.root, "branch", "--list", "retrain/*").split()[-1])
            subprocess.run([sys.executable, "-m", "dvc", "checkout", "--quiet"], cwd=clone.root, check=True)

            # A client says that an answer is wrong. That is kept, and changes no answer.
            correction = {
                "text": TEXT,
                "concepts": {"food": "Negative"},
                "author": "Ada",
                "reason": "ironic",
                "version": "2",
            }
            kept = request(f"{served.url}/v1/corrections", correction)
            (line,) = (clone.root / "corrections.jsonl").read_text().splitlines()
            assert json.loads(line)["id"] == kept["id"] and json.loads(line)["concepts"] == {"food": "Negative"}
            with pytest.raises(urllib.error.HTTPError) as refused:
                request(f"{served.url}/v1/predict", {"texts": [TEXT], "options": {"topk": 1}})
            assert refused.value.code == 422

            # People write in other words. One window is chance; the second starts a run that learns from new texts.
            write_windows(clone.root)
            assert "drifts" in command(clone, "drift", "monday.csv")
            add_new_texts(clone.root)
            commit(clone, "add texts in new words")
            announced = command(clone, "drift", "tuesday.csv", "--announce", code=3)
            assert "announced as the event sparsecbm.drift" in announced
            on_drift = prefect.deployment("retrain/on-drift")
            state = wait(lambda: prefect.ended(on_drift), "the run on drift")
            assert (state["type"], state["name"]) == ("COMPLETED", "Promoted"), state["message"]
            wait(lambda: client.version() == "3", "the service to follow the new champion")

            rolled_back = command(clone, "rollback", "--reason", "it was a test")
            assert "rolled back: version 2 is the champion again" in rolled_back
            wait(lambda: client.version() == "2", "the service to go back")
        history = command(clone, "history")
        assert "the chain of 4 entries is intact" in history
        assert client.faults == []
        versions = [version for version, _, _ in client.answers]
        moves = [after for before, after in zip([None, *versions], versions, strict=False) if before != after]
        assert moves == ["1", "2", "3", "2"]
        # Each version has one answer, so none was mixed from two. The last versions know what good food is.
        answers = {version: {answer[1:] for answer in client.answers if answer[0] == version} for version in versions}
        assert {len(different) for different in answers.values()} == {1}
        assert [label for version in ("2", "3") for label, _ in answers[version]] == ["3", "3"]
    finally:
        if served:
            served.terminate()
            served.wait(60)
        down = command(clone, "down")
    assert down == "stopped: worker, prefect, mlflow\n"
    # Neither services nor anything that they started, such as a worker's flows with their stages.
    psutil.wait_procs(processes_of(clone.root), timeout=20)
    assert processes_of(clone.root) == []


def start_service(workspace, registry):
    """Start a service that follows the champion of a registry; it has the attribute `url`."""
    user, password = credentials(workspace)
    tracking = {"MLFLOW_TRACKING_URI": registry, "MLFLOW_TRACKING_USERNAME": user}
    tracking["MLFLOW_TRACKING_PASSWORD"] = password
    port = str(free_port())
    with open(workspace.state / "serve.log", "wb") as log:
        served = subprocess.Popen(
            [sys.executable, "-m", "sparsecbm", "serve", "models:/sparsecbm@champion", "--port", port,
             "--poll", "0.5", "--corrections", str(workspace.root / "corrections.jsonl")],
            cwd=workspace.state, env={**os.environ, **tracking},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    served.url = f"http://127.0.0.1:{port}"
    return served
