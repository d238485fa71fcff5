"""A real process: it follows the champion, survives a bad one, and on SIGTERM answers what it has accepted."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from tests.support.served_model import save_served_model
from tests.support.served_registry import ServedRegistry
from tests.support.tiny_pipeline import free_port
from tests.support.waiting import answers, until

BODY = {"texts": ["the food was good"]}


@pytest.fixture
def registry(migrated, tmp_path, folder):
    """Return a registry with a champion and a second version."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    registry = ServedRegistry(tmp_path / "mlflow.db", tmp_path / "files")
    registry.register(folder)
    registry.register(save_served_model(tmp_path / "other", seed=5))
    registry.promote(1)
    return registry


@pytest.fixture
def process(registry, tmp_path):
    """Return a process that serves the champion, its client, and its log."""
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-m", "sparsecbm", "serve", "models:/tiny@champion", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": registry.uri, "SPARSECBM_TOKEN": "a-token-of-this-test"}
    with open(log, "wb") as file:
        process = subprocess.Popen([*command, "--poll", "0.1"], cwd=tmp_path, env=environment, stdout=file, stderr=file)
    headers = {"Authorization": "Bearer a-token-of-this-test"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120) as client:
        until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/ready", headers))
        yield process, client, log
    process.kill()
    process.wait()


def version(client):
    answer = client.post("/v1/predict", json=BODY)
    assert answer.status_code == 200, answer.text
    return answer.json()["model"]["version"]


def test_it_follows_the_champion_and_answers_all_that_it_accepted_before_it_ends(process, registry):
    process, client, log = process
    assert version(client) == "1"
    registry.promote(2)
    until(lambda: version(client) == "2")
    weights = registry.model_files(1) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    registry.promote(1)
    until(lambda: "a version is refused" in log.read_text())
    assert version(client) == "2"

    # Explanations take a while; the process is told to end while it makes them.
    results = []
    explain = {"texts": ["the food was bad", "the place was loud"] * 4}
    thread = threading.Thread(target=lambda: results.append(client.post("/v1/explain", json=explain)))
    thread.start()
    until(lambda: "sparsecbm_queued_texts 256.0" in client.get("/metrics").text)
    process.send_signal(signal.SIGTERM)
    thread.join()
    assert process.wait(60) == -signal.SIGTERM
    (answer,) = results
    assert answer.status_code == 200 and len(answer.json()["explanations"]) == 8
    with pytest.raises(httpx.TransportError):
        client.get("/health")
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert [line["status"] for line in lines if line.get("path") == "/v1/explain"] == [200]
    assert "Traceback" not in log.read_text()


def test_a_model_that_cannot_be_loaded_is_one_message(sparsecbm, folder, tmp_path, monkeypatch):
    shutil.copytree(folder.model, tmp_path / "model")
    (tmp_path / "model" / "code.pkl").write_bytes(b"\x80\x04.")
    code, _, errors = sparsecbm("serve", tmp_path / "model", "--port", free_port())
    assert code == 1 and "code.pkl" in errors
    shutil.copytree(folder.model, tmp_path / "tampered")
    weights = tmp_path / "tampered" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # one bit
    weights.write_bytes(content)
    code, _, errors = sparsecbm("serve", tmp_path / "tampered", "--port", free_port())
    assert code == 1 and "model.safetensors" in errors and "Traceback" not in errors
    code, _, errors = sparsecbm("serve", tmp_path / "none", "--port", free_port())
    assert code == 1 and "does not exist" in errors
    code, _, errors = sparsecbm("serve", folder.model, "--host", "0.0.0.0", "--port", free_port())
    assert code == 1 and "set SPARSECBM_TOKEN" in errors
    monkeypatch.setenv("SPARSECBM_TOKEN", "a-token-of-this-test")
    for host in ("\u202e", "a\0b"):
        code, _, errors = sparsecbm("serve", folder.model, "--host", host, "--port", free_port())
        assert code == 1 and "is no IPv4 address or name of this machine" in errors and "Traceback" not in errors
    monkeypatch.delenv("SPARSECBM_TOKEN")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, errors = sparsecbm("serve", folder.model, "--port", taken.getsockname()[1])
    assert code == 1 and "is not free" in errors
    monkeypatch.setenv("SPARSECBM_MAX_BODY", "many")
    code, _, errors = sparsecbm("serve", folder.model, "--port", free_port())
    assert code == 1 and "SPARSECBM_MAX_BODY must be a whole number" in errors
