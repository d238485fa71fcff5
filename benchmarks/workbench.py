"""The workbench on a trained workspace: its first page, a reading, the words, and many people at once.

    python -m benchmarks.workbench WORKSPACE [--people 50] [--seconds 30] [--output FILE]

A process of `sparsecbm workbench` answers on loopback; this process asks it as the page does. Texts are embedded
reviews cut to 20 words. The parts:

1. start: seconds from the command to the first page, with a text read and shown.
2. alone: one person reads, then asks for the words by the quick method and by the exact one.
3. people: each reads a text once a second, all beginning at another moment.
"""

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from sparsecbm.base.files import write_json
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.ingest import ingest
from sparsecbm.explain.methods import DEFAULT_METHOD, QUICK_METHOD

RESULT = Path(__file__).parent / "results" / "workbench.json"
PORT = 8091
WORDS = 20


def ask(path: str, fields: dict[str, str] | None = None) -> tuple[int, float]:
    """Return the status of an answer, and the seconds until it was there."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    headers = {"HX-Request": "true", "Origin": f"http://127.0.0.1:{PORT}"} if fields else {}
    begun = time.perf_counter()
    try:
        if fields:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request("POST", path, urlencode(fields), headers)
        else:
            connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.perf_counter() - begun
    finally:
        connection.close()


def wait_for_first_page(process: subprocess.Popen) -> float:
    """Return the seconds until the first page is there."""
    begun = time.perf_counter()
    while process.poll() is None:
        try:
            if ask("/")[0] == 200:
                return time.perf_counter() - begun
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the workbench ended; see what it printed")


def read_alone(texts: Sequence[str]) -> dict[str, float]:
    """Return median seconds of one person: a reading, and the words by both methods."""
    parts = {
        "reading": ("/read", {}, 20),
        "words_quick": ("/words", {"method": QUICK_METHOD}, 5),
        "words_exact": ("/words", {"method": DEFAULT_METHOD}, 5),
    }
    medians = {}
    for name, (path, fields, times) in parts.items():
        answers = [ask(path, {"text": text, **fields}) for text in texts[:times]]
        assert {status for status, _ in answers} == {200}, answers
        medians[name] = statistics.median(seconds for _, seconds in answers)
    return medians


def read_together(texts: Sequence[str], people: int, seconds: int) -> dict[str, float]:
    """Return percentiles of the seconds that a reading takes while so many people read once a second each."""
    answers: list[tuple[int, float]] = []

    def person(number: int) -> None:
        due = time.perf_counter() + number / people
        for turn in range(seconds):
            time.sleep(max(0.0, due + turn - time.perf_counter()))
            answers.append(ask("/read", {"text": texts[(number * seconds + turn) % len(texts)]}))

    threads = [threading.Thread(target=person, args=(number,)) for number in range(people)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    median, p95, p99 = np.percentile([seconds for _, seconds in answers], [50, 95, 99]).tolist()
    return {
        "people": people,
        "readings": len(answers),
        "failed": sum(status != 200 for status, _ in answers),
        "readings_a_second": len(answers) / (time.perf_counter() - begun),
        "median": median,
        "p95": p95,
        "p99": p99,
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    own = Workspace.find(Path(__file__).parent)
    params = load_params(own.params)
    splits, _ = ingest(params.source, params.split, params.seed, own.root)
    texts = [" ".join(text.split()[:WORDS]) for text in splits["test"]["text"]]
    load = os.getloadavg()[0]
    command = [sys.executable, "-m", "sparsecbm", "workbench", "--no-browser", "--port", str(PORT)]
    process = subprocess.Popen(command, cwd=arguments.workspace, stdout=subprocess.DEVNULL)
    try:
        result = {
            "first_page": wait_for_first_page(process),
            "alone": read_alone(texts),
            "together": read_together(texts, arguments.people, arguments.seconds),
            "load": {"before": round(load, 1), "cores": os.cpu_count()},
        }
    finally:
        process.terminate()
        process.wait()
    print(result)
    write_json(arguments.output, result)


if __name__ == "__main__":
    main()
