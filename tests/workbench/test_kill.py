"""A server that is killed: no correction is lost or doubled, and a patch goes on or is said to be interrupted."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx

from sparsecbm.base.json_lines import read_json_lines
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.workbench.journal import Journal
from tests.support.tiny_pipeline import free_port
from tests.support.waiting import answers, until

TEXT = "the food was good and the place was loud"
PART = {"HX-Request": "true"}


@contextmanager
def serving(workspace, folder):
    """Start `sparsecbm workbench`, and yield its process and a client of it."""
    port = free_port()
    command = [sys.executable, "-m", "sparsecbm", "workbench", str(folder.model), "--port", str(port), "--no-browser"]
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=workspace.root, **output) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=PART, timeout=60) as client:
                until(lambda: answers(f"http://127.0.0.1:{port}/health"))
                yield process, client
        finally:
            process.kill()


def correction(number):
    return {"text": f"{TEXT} {number}", "set.food": "unknown", "author": "Ann", "reason": "irony", "as_label": "yes",
            "form": str(number)}  # fmt: skip


def test_nothing_is_lost_or_doubled_when_the_server_is_killed(workspace, folder, snapshot):
    sent, kept = [], []
    with serving(workspace, folder) as (server, client):

        def correct():
            for number in range(10_000):
                sent.append(number)
                try:
                    kept.append(number if client.post("/corrections", data=correction(number)).is_success else None)
                except httpx.TransportError:
                    return

        read = snapshot.model.predict([TEXT])[0].concepts["food"].state
        fields = {"text": TEXT, "read.food": read, "set.food": "unknown", "author": "Ann", "reason": "irony"}
        fields |= {"form": "patch", "bits": "400", "max_harm": "100"}
        assert "is being made" in client.post("/patches", data=fields).text
        writer = threading.Thread(target=correct)
        writer.start()
        until(lambda: len(kept) >= 5)
        os.kill(server.pid, signal.SIGKILL)
        writer.join()
    assert None not in kept and len(sent) == len(kept) + 1  # the last one was not answered

    ids = [record["text"] for record in read_json_lines(workspace.state / "corrections.jsonl")]
    assert len(ids) == len(set(ids)) and {f"{TEXT} {number}" for number in kept} <= set(ids)

    with serving(workspace, folder) as (_, client):
        (request,) = (workspace.state / "patches").glob("*/request.json")
        name = request.parent.name
        assert client.get(f"/patches/{name}.json").json()["state"] in ("running", "made")
        again = client.post("/patches", data=fields).text  # the same form
        assert "is being made" in again or "was asked for before" in again
        for number in sent:
            assert client.post("/corrections", data=correction(number)).is_success
        until(lambda: client.get(f"/patches/{name}.json").json()["state"] != "running")
        assert client.get(f"/patches/{name}.json").json()["state"] == "made"

    texts = [f"{TEXT} {number}" for number in sent]
    records = read_json_lines(workspace.state / "corrections.jsonl")
    assert [record["text"] for record in records] == texts
    assert len(read_json_lines(workspace.annotations / "human.jsonl")) == len(sent)
    entries = Journal(workspace.state / "workbench.jsonl").entries()
    assert sorted(entry["correction"] for entry in entries if entry["action"] == "correct") == sorted(
        record["id"] for record in records
    )
    assert [entry["patch"] for entry in entries if entry["action"] == "ask for a patch"] == [name]
    assert MaskPatch.load(request.parent / "made.patch").state == "unknown"
