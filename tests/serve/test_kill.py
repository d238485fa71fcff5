"""A service that is killed while clients send corrections: each that was acknowledged is there once, and whole."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest

from sparsecbm.base.json_lines import read_json_lines
from tests.support.processes import environment
from tests.support.tiny_pipeline import free_port
from tests.support.waiting import answers, until

TEXT = "the food was good"
FILE = "kept/corrections.jsonl"
CLIENTS = 4


@contextmanager
def serving(folder, directory):
    """Start `sparsecbm serve`, and yield its process and its address."""
    port = free_port()
    command = [sys.executable, "-m", "sparsecbm", "serve", str(folder.model), "--port", str(port)]
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(
        [*command, "--corrections", FILE], cwd=directory, env=environment(SPARSECBM_TOKEN=""), **output
    ) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: process.poll() is not None or answers(f"{address}/ready"))
            yield process, address
        finally:
            process.kill()


def correction(reason):
    return {"text": TEXT, "concepts": {"food": "Negative"}, "author": "Ann", "reason": reason}


def post_until_it_dies(address, sender, answered):
    """Send corrections one after another until a connection breaks; note reason, status and id of each answer."""
    with httpx.Client(base_url=address, timeout=60) as client:
        for number in range(100_000):
            reason = f"{sender}-{number}"
            try:
                answer = client.post("/v1/corrections", json=correction(reason))
            except httpx.TransportError:
                return
            answered.append((reason, answer.status_code, answer.json().get("id")))


def kept(path):
    """Return reason and id of each record; a line that is not whole, but the last one, is an error."""
    return [(record["reason"], record["id"]) for record in read_json_lines(path)]


def kill_among_corrections(process, address, name):
    """Kill a service while clients send corrections; return reason and id of those that were answered."""
    answered = []
    threads = [
        threading.Thread(target=post_until_it_dies, args=(address, f"{name}-{client}", answered))
        for client in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) >= 20)
    os.kill(process.pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert {status for _, status, _ in answered} == {201}
    return [(reason, identity) for reason, _, identity in answered]


def assert_each_once(records, acknowledged, unanswered):
    """Check that all that was acknowledged is there, and nothing twice.

    Args:
        unanswered: corrections that may be there without an answer
    """
    assert len({reason for reason, _ in records}) == len({identity for _, identity in records}) == len(records)
    assert set(acknowledged) <= set(records)
    assert len(records) <= len(acknowledged) + unanswered


def test_a_killed_service_keeps_each_acknowledged_correction_once(folder, tmp_path):
    path = tmp_path / FILE
    with serving(folder, tmp_path) as (process, address):
        acknowledged = kill_among_corrections(process, address, "first")
    before = kept(path)
    assert_each_once(before, acknowledged, CLIENTS)

    with open(path, "ab") as file:  # what a kill in the middle of a line leaves
        file.write(b'{"id": "half", "reas')
    with serving(folder, tmp_path) as (process, address):
        answer = httpx.post(f"{address}/v1/corrections", json=correction("after"), timeout=60)
        assert answer.status_code == 201
        after = ("after", answer.json()["id"])
        assert kept(path) == [*before, after] and b"half" not in path.read_bytes()
        acknowledged += [after, *kill_among_corrections(process, address, "second")]
    assert_each_once(kept(path), acknowledged, 2 * CLIENTS)
    assert kept(path)[: len(before)] == before


@pytest.mark.parametrize(
    "records",
    [
        [("a", "1"), ("b", "2")],  # an acknowledged one is lost
        [("a", "1"), ("b", "2"), ("c", "3"), ("c", "4")],  # one is there twice, under two ids
        [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")],  # more than were sent
    ],
)
def test_the_check_notices_what_is_lost_or_doubled(records):
    acknowledged = [("a", "1"), ("b", "2"), ("c", "3")]
    assert_each_once([*acknowledged, ("d", "4")], acknowledged, 1)
    with pytest.raises(AssertionError):
        assert_each_once(records, acknowledged, 1)
