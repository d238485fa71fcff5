"""A clean clone: services start, a schedule fires, a model is trained, promoted, served and rolled back.

The graph is short and the model tiny; everything else is real.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest
import yaml

from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from sparsecbm.orchestration.access import access, credentials
from tests.support.service_access import authorization, request
from tests.support.tiny_models import CONCEPTS, write_backbone
from tests.support.tiny_pipeline import ROOT, free_port, git
from tests.support.tiny_tables import annotated

pytestmark = pytest.mark.flow

GRAPH = """\
stages:
  annotate:
    cmd: python stage.py annotate
    deps: [stage.py, raw]
    outs: [data/annotated]
  prune:
    cmd: python stage.py prune
    params: [seed, finetune]
    deps: [data/annotated]
    outs: [models/sparse]
  evaluate:
    cmd: python stage.py evaluate
    deps: [models/sparse]
    metrics:
    - metrics/evaluate.json: {cache: false}
    - metrics/validate.json: {cache: false}
"""

STAGE = """\
import json, shutil, sys
from pathlib import Path

def write(name, value):
    Path("metrics").mkdir(exist_ok=True)
    Path("metrics", name).write_text(json.dumps(value))

if sys.argv[1] == "annotate":
    shutil.copytree("raw", "data/annotated")
if sys.argv[1] == "evaluate":
    write("evaluate.json", {"split": "test"})
    write("validate.json", {"accepted": True})
if sys.argv[1] == "prune":
    from sparsecbm.data.tables import read_concepts, read_split
    from sparsecbm.model.cbm import Settings
    from sparsecbm.api import SparseCBM
    from sparsecbm.base.params import load_params
    from sparsecbm.train.checkpoint import Checkpoints
    from sparsecbm.train.loop import TrainingRun
    from sparsecbm.train.modes import fit
    from sparsecbm.train.reproducible import reproducible

    params, data = load_params(Path("params.yaml")), Path("data/annotated")
    with reproducible(params.seed, params.threads):
        model = SparseCBM.build("backbone", read_concepts(data), Settings(max_length=16))
        train = read_split(data, "train")
        run = TrainingRun(params.seed, Checkpoints(Path(".sparsecbm/checkpoints/prune")))
        fit(model, train, train, params.finetune, run)
        model.save_pretrained("models/sparse")
"""

GATES = [
    {"kind": "score", "name": "label", "of": "label.accuracy", "bound": 0.1, "margin": 0.05},
    {"kind": "score", "name": "each concept", "of": "concepts.*.accuracy", "bound": 0.1, "margin": 0.05},
    {"kind": "figure", "name": "data", "file": "validate", "key": "accepted", "equals": True, "failed": "reject",
     "required": True},
]  # fmt: skip


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Return a clean clone of a small project without any run, with free ports and no outside settings."""
    origin = tmp_path / "origin"
    for folder in ("sparsecbm", "flows"):
        shutil.copytree(ROOT / folder, origin / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / ".dvc", origin / ".dvc", ignore=lambda *_: ["tmp", "cache", "config.local"])
    shutil.copy(ROOT / ".dvcignore", origin)
    write_backbone(origin / "backbone")
    splits = {"train": annotated(96, 1), "test": annotated(60, 2)}
    write_splits(origin / "raw", splits, {"vocabulary": CONCEPTS.to_dict()})
    (origin / "dvc.yaml").write_text(GRAPH)
    (origin / "stage.py").write_text(STAGE)
    (origin / ".gitignore").write_text("/data/annotated\n/models/\n.sparsecbm/\n__pycache__/\n")
    (origin / "prefect.yaml").write_text((ROOT / "prefect.yaml").read_text().replace('"0 3 * * *"', '"* * * * *"'))
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["threads"] = 1
    content["finetune"] |= {
        "epochs": 1, "learning_rate": 1e-6, "head_learning_rate": 1e-6, "batch_size": 8, "ema_decay": 0, "patience": 50,
        "freeze_embeddings": False, "precision": "float32", "device": "cpu",
    }  # fmt: skip
    content["evaluate"]["bootstrap"] = 200
    content["promote"]["gates"] = GATES
    (origin / "params.yaml").write_text(yaml.safe_dump(content))
    git(origin, "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
        git(origin, "config", key, value)
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "--message", "all")
    git(tmp_path, "clone", "--quiet", str(origin), "clone")
    for variable in list(os.environ):
        if variable.startswith(("PREFECT_", "MLFLOW_", "SPARSECBM_", "PYTHONPATH")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("SPARSECBM_PREFECT_PORT", str(free_port()))
    monkeypatch.setenv("SPARSECBM_MLFLOW_PORT", str(free_port()))
    return Workspace(tmp_path / "clone")


def command(workspace, *arguments, good=True):
    result = subprocess.run(
        [sys.executable, "-m", "sparsecbm", *arguments], cwd=workspace.root, capture_output=True, text=True
    )
    assert (result.returncode == 0) == good, result.stdout + result.stderr
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


def test_a_first_champion_is_replaced_and_restored(clone):
    """The code in the workspace is broken while the schedule fires; the scheduled run must not use it."""
    # The first champion is promoted by hand and has learnt almost nothing.
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=clone.root, check=True)
    command(clone, "track")
    assert "promoted: version 1 is the champion" in command(clone, "promote")
    content = yaml.safe_load(clone.params.read_text())
    content["finetune"] |= {"epochs": 12, "learning_rate": 3e-3, "head_learning_rate": 3e-2}
    clone.params.write_text(yaml.safe_dump(content))
    for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
        git(clone.root, "config", key, value)
    git(clone.root, "commit", "--quiet", "--all", "--message", "learn")
    (clone.root / "sparsecbm" / "model" / "cbm.py").write_text("this edit is not committed")
    (clone.root / "stage.py").write_text("nor is this")

    assert "Prefect  http://127.0.0.1:" in command(clone, "up")
    noted = json.loads((clone.state / "services.json").read_text())
    family = [psutil.Process(service["pid"]) for service in noted.values()]
    served = None
    try:
        prefect = Prefect(clone, noted["prefect"]["api"])
        user, password = credentials(clone)
        tracking = {"MLFLOW_TRACKING_URI": noted["mlflow"]["url"], "MLFLOW_TRACKING_USERNAME": user}
        tracking["MLFLOW_TRACKING_PASSWORD"] = password
        nightly = prefect.deployment("retrain/nightly")
        state = wait(lambda: prefect.ended(nightly), "the scheduled run")
        prefect.pause(nightly)
        assert (state["type"], state["name"]) == ("COMPLETED", "Promoted"), state["message"]
        assert "significantly better than version 1 in: " in state["message"]
        git(clone.root, "checkout", "--quiet", "--", ".")
        assert "version 2, since" in command(clone, "status")
        branches = git(clone.root, "branch", "--list", "retrain/*")
        assert "retrain/" in branches  # the proposed results

        port = free_port()
        with open(clone.state / "serve.log", "wb") as log:
            served = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/sparsecbm@champion",
                 "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)],
                cwd=clone.state, env={**os.environ, **tracking},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        family.append(psutil.Process(served.pid))
        url = f"http://127.0.0.1:{port}"
        wait(lambda: _answers(f"{url}/ping"), "the model's server")
        texts = {"dataframe_records": [{"text": "the food was good"}], "params": {"options": '{"top_k": 1}'}}
        (row,) = request(f"{url}/invocations", texts)["predictions"]
        assert row["label"] == "3"
        assert list(row["probabilities"]) == ["3"]
        assert row["concepts"]["food"]["state"] == "Positive"
        texts["params"] = {"options": '{"topk": 1}'}
        with pytest.raises(urllib.error.HTTPError) as refused:
            request(f"{url}/invocations", texts)
        assert refused.value.code == 400
        assert "Did you mean 'top_k'?" in refused.value.read().decode()

        # An event announces new data, but there are none, so nothing changes.
        subprocess.run(
            [sys.executable, "-m", "prefect", "event", "emit", "sparsecbm.data.new", "--resource-id", "sparsecbm.data"],
            env={**os.environ, "PREFECT_API_URL": prefect.api, "PREFECT_API_AUTH_STRING": access(clone)},
            check=True, capture_output=True,
        )  # fmt: skip
        on_new_data = prefect.deployment("retrain/on-new-data")
        state = wait(lambda: prefect.ended(on_new_data), "the run on new data")
        assert (state["type"], state["name"]) == ("COMPLETED", "Unchanged"), state["message"]

        assert "rolled back: version 1 is the champion again" in command(clone, "rollback", "--reason", "it was a test")
        history = command(clone, "history")
        assert "the chain of 3 entries is intact" in history
    finally:
        if served:
            served.terminate()
        down = command(clone, "down")
    assert down == "stopped: worker, prefect, mlflow\n"
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


def _answers(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False
