"""A service with few open files: clients cannot take the last ones, and it answers again when they have left."""

import json
import os
import resource
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import httpx

from sparsecbm.serve.listener import RESERVE
from tests.support.processes import environment
from tests.support.tiny_pipeline import free_port
from tests.support.waiting import answers, until

FILES = 64
MANY = 200  # connections, far more than there can be files
BODY = {"texts": ["the food was good"]}
CORRECTION = {"text": "the food was good", "concepts": {"food": "Negative"}, "author": "Ann", "reason": "irony"}


@contextmanager
def serving(folder, directory):
    """Start `sparsecbm serve` under a limit of open files; yield its process, its port and its log."""
    port, log = free_port(), directory / "log"
    command = [sys.executable, "-m", "sparsecbm", "serve", str(folder.model), "--port", str(port)]
    with (
        open(log, "wb") as output,
        subprocess.Popen(
            command, cwd=directory, env=environment(SPARSECBM_TOKEN=""), stdout=output, stderr=output,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
        ) as process,
    ):  # fmt: skip
        try:
            until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/ready"))
            yield process, port, log
        finally:
            process.kill()


def is_closed(connection):
    """Whether the service has closed a connection on which it has nothing to say."""
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def events(log):
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def test_more_connections_than_open_files_neither_end_the_service_nor_lose_a_correction(folder, tmp_path):
    with serving(folder, tmp_path) as (process, port, log), ExitStack() as stack:
        (few,) = [event for event in events(log) if event["event"].startswith("the limit of open files allows few")]
        assert 8 <= few["connections"] < FILES - RESERVE

        known = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60))
        assert known.post("/v1/predict", json=BODY).status_code == 200  # it keeps its connection
        crowd = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(MANY)]
        for connection in crowd:
            connection.setblocking(False)

        def closed_ones():
            assert known.get("/ready").is_success  # so that its connection is kept, too
            return sum(map(is_closed, crowd))

        until(lambda: closed_ones() >= MANY - few["connections"])
        assert len(os.listdir(f"/proc/{process.pid}/fd")) <= FILES - RESERVE + 4
        assert known.post("/v1/corrections", json=CORRECTION).status_code == 201

        for connection in crowd:
            connection.close()
        until(lambda: answers(f"http://127.0.0.1:{port}/ready"))
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/predict", json=BODY, timeout=60)
        assert answer.status_code == 200 and process.poll() is None
        closed = [event for event in events(log) if event["event"].startswith("connections are closed")]
        assert len(closed) == 1  # not a line for each
        assert not [event for event in events(log) if event["level"] == "error"]
