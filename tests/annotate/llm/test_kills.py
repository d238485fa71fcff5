"""A run that is killed 20 times: no text is missing, and none is paid for twice."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.llm_annotation import known_texts

TEXTS, KILLS, CONCURRENCY = 1000, 20, 16


def events(log: Path) -> list[tuple[str, str]]:
    """What the server logged: (event, text)."""
    return (
        [tuple(json.loads(line)) for line in log.read_text().splitlines() if line.endswith("]")] if log.exists() else []
    )


def start(*arguments: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def start_run(url: str, folder: Path) -> subprocess.Popen:
    """Label the texts in a process of its own, which writes folder/llm.parquet at its end."""
    return start("tests.support.llm_annotation", url, folder, "--texts", TEXTS, "--concurrency", CONCURRENCY)


@pytest.mark.slow
def test_a_run_that_is_killed_20_times_pays_for_no_text_twice_and_ends_in_the_same_bytes(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    logs = {folder: tmp_path / f"{folder.name}.log" for folder in (killed, whole)}
    servers = {
        folder: start("tests.support.openai_server", "--latency", 0.02, "--log", logs[folder]) for folder in logs
    }
    urls = {folder: f"http://127.0.0.1:{server.stdout.readline().strip()}/v1" for folder, server in servers.items()}
    try:
        for moment in sorted(random.Random(16).sample(range(5, TEXTS - 20), KILLS)):
            process = start_run(urls[killed], killed)
            while sum(event == "paid" for event, _ in events(logs[killed])) < moment and process.poll() is None:
                time.sleep(0.005)
            assert process.poll() is None, "it ended before it was killed"
            process.send_signal(signal.SIGKILL)
            process.wait()
        for folder in (killed, whole):
            assert start_run(urls[folder], folder).wait(300) == 0
    finally:
        for server in servers.values():
            server.kill()
            server.wait()
    assert (killed / "llm.parquet").read_bytes() == (whole / "llm.parquet").read_bytes()
    paid = Counter(text for event, text in events(logs[killed]) if event == "paid")
    assert paid == Counter(known_texts(TEXTS)["text"])  # each text once, and none is missing
    # A server that does not know a repeated request by its key would have charged these once more: requests whose
    # answer was on its way at a kill.
    repeated = Counter(text for event, text in events(logs[killed]) if event == "repeated")
    assert 0 < repeated.total() <= KILLS * CONCURRENCY
    print(f"{repeated.total()} of {TEXTS} requests were on their way at one of {KILLS} kills and sent again")
    assert all(event == "paid" for event, _ in events(logs[whole]) if event != "asked")
