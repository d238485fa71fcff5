"""The online service under load, compared with bare forward passes of the same batches.

    python -m benchmarks.serving [--requests 1000] [--clients 16] [--switches 20] [--rounds 4] [--output FILE]

A process serves MiniLM-L6 with four random masks over all blocks, from a registry of its own. Texts are embedded
reviews cut to 20 words. OMP_NUM_THREADS sets the threads of the model, here and in the service. The parts:

1. start: seconds until the service is ready.
2. load: clients that ask without a pause, in rounds. After each round, this process makes bare forward passes of
   batches of the same mean size, so that a machine whose speed drifts affects both alike; and one client asks alone.
3. switches: clients ask at 80 % of that rate while the champion moves between two versions. Each answer is compared
   with what the version that it names predicts.
4. memory: the resident memory of the service meanwhile. `--requests 50000` tells whether it stays flat.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from mlflow import MlflowClient

from benchmarks.inference import unstructured_masks
from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import content_hash, sha256_file, write_json, write_text
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.ingest import ingest
from sparsecbm.model.batches import encode, pad
from sparsecbm.model.cbm import ConceptBottleneck, Settings
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.onednn import use_onednn
from sparsecbm.model.storage import CHECKSUMS
from sparsecbm.promote.registry import CHAMPION, KIND, KIND_TAG, MODEL_TAG, VERSION_TAG, Registry
from sparsecbm.serve.snapshot import PREDICTION

RESULT = Path(__file__).parent / "results" / "serving.json"
NAME, WORDS, PORT = "bench", 20, 18431
ALIKE = 1e-3  # two versions differ by more, and two batches by less
JSON = {"Content-Type": "application/json"}


def make_models(workspace: Workspace, folder: Path) -> tuple[list[SparseCBM], list[str]]:
    """Return two models with random masks that differ, saved as `folder/1` and `folder/2`, and texts of 20 words."""
    params = load_params(workspace.params)
    splits, manifest = ingest(params.source, params.split, params.seed, workspace.root)
    concept_set = ConceptSet.from_dict(manifest["vocabulary"])
    models = []
    for number in (1, 2):
        torch.manual_seed(number)
        model = SparseCBM.build(
            params.model.backbone, concept_set, Settings(**params.model.model_dump(exclude={"backbone"}))
        ).eval()
        with torch.no_grad():  # a new label head is zero
            torch.nn.init.normal_(model.label_head.linear.weight)
        model.masks = unstructured_masks(model, 0)
        model.save_pretrained(folder / str(number))
        models.append(model)
    words = " ".join(splits["train"]["text"]).split()
    return models, [" ".join(words[start : start + WORDS]) for start in range(0, 200 * WORDS, WORDS)]


def make_registry(folder: Path, models: Path) -> tuple[Registry, str]:
    """Register two model folders in a database of their own; the first is the champion."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    registry = Registry(MlflowClient(uri), NAME)
    registry.create()
    for number in (1, 2):
        version = folder / "versions" / str(number)
        shutil.copytree(models / str(number), version / "artifacts" / "model")
        write_text(version / "MLmodel", "flavors: {python_function: {model_code_path: entry.py}}\n")
        checksums = sha256_file(version / "artifacts" / "model" / CHECKSUMS)
        tags = {KIND_TAG: KIND, VERSION_TAG: content_hash(version), MODEL_TAG: checksums}
        registry.client.create_model_version(NAME, str(version), tags=tags)
    registry.set_alias(CHAMPION, 1)
    return registry, uri


@contextmanager
def served(folder: Path, uri: str):
    """Serve the champion in a process, and return its id and the seconds until it was ready."""
    command = [sys.executable, "-m", "sparsecbm", "serve", f"models:/{NAME}@{CHAMPION}", "--port", str(PORT)]
    begun = time.perf_counter()
    with open(folder / "log", "wb") as log:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
        process = subprocess.Popen([*command, "--poll", "0.2"], cwd=folder, env=environment, stderr=log)
    try:
        while not is_ready():
            if process.poll() is not None:
                sys.exit((folder / "log").read_text())
            time.sleep(0.05)
        yield process.pid, time.perf_counter() - begun
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def is_ready() -> bool:
    """Whether the service answers."""
    try:
        return get("/ready")[0] == 200
    except OSError:
        return False


def get(path: str) -> tuple[int, str]:
    """The status and the body of a page of the service."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def figure(name: str) -> float:
    """A figure of the service."""
    return float(re.search(rf"^{re.escape(name)} (\S+)$", get("/metrics")[1], re.MULTILINE)[1])


def resident(pid: int) -> float:
    """The resident memory of a process in MB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024 / 1e6


@dataclass
class Load:
    """What clients saw.

    Attributes:
        seconds: of each request
        faults: statuses other than 200, and answers that are not those of the version that they name
    """

    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)


def ask(
    clients: int, requests: int, texts: Sequence[str], check: Callable[[int, dict], str], pause: float = 0
) -> tuple[Load, float]:
    """Send requests of one text each from several threads; return what they saw, and the seconds of all.

    Args:
        check: says what is wrong with the answer for a text, by its index; empty if nothing is
        pause: seconds from the start of one request of a client to that of its next
    """
    load, lock, left = Load(), threading.Lock(), iter(range(requests))

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            index = number % len(texts)
            begun = time.perf_counter()
            connection.request("POST", "/v1/predict", json.dumps({"texts": [texts[index]]}), JSON)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            seconds = time.perf_counter() - begun
            fault = check(index, body) if answer.status == 200 else f"{answer.status} {body}"
            with lock:
                load.seconds.append(seconds)
                load.faults += [fault] if fault else []
                load.versions.add(body.get("model", {}).get("version", ""))
            time.sleep(max(0, pause - seconds))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return load, time.perf_counter() - begun


def bare_seconds(model: ConceptBottleneck, rows: Sequence[Sequence[int]], size: int, passes: int) -> float:
    """Median seconds of a forward pass of a batch of texts of 20 words."""
    times = []
    with inference_mode(model), use_onednn(model.backbone):  # as the service multiplies
        for number in range(passes):
            start = number * size % (len(rows) - size)
            begun = time.perf_counter()
            model(*pad(rows[start : start + size], model.tokenizer.pad_token_id))
            times.append(time.perf_counter() - begun)
    return statistics.median(times)


def measure_load(model: ConceptBottleneck, texts: Sequence[str], check, arguments: argparse.Namespace) -> dict:
    """Rounds of clients without a pause, of bare passes of batches of the same size, and of one client alone."""
    rows = encode(model.tokenizer, texts, model.settings.max_length)
    rounds, latencies, faults = [], [], []
    for _ in range(arguments.rounds):
        before = figure("sparsecbm_batch_texts_sum"), figure("sparsecbm_batch_texts_count")
        load, seconds = ask(arguments.clients, arguments.requests // arguments.rounds, texts, check)
        batches = figure("sparsecbm_batch_texts_count") - before[1]
        size = (figure("sparsecbm_batch_texts_sum") - before[0]) / batches
        # A pass takes longer by about the same for each text, so passes of both sizes around the mean are weighed.
        small, share = int(size), size % 1
        passes = [bare_seconds(model, rows, small, 10), bare_seconds(model, rows, small + 1, 10)]
        bare = size / ((1 - share) * passes[0] + share * passes[1])
        alone, alone_seconds = ask(1, 20, texts, check)
        rate = len(load.seconds) / seconds
        rounds.append(
            {
                "rate": rate, "batch": size, "bare_rate": bare, "share_of_bare": rate / bare,
                "one_at_a_time": 20 / alone_seconds, "times_one_at_a_time": rate * alone_seconds / 20,
            }
        )  # fmt: skip
        latencies += load.seconds
        faults += load.faults + alone.faults
    median, p99 = np.percentile(latencies, [50, 99])
    figures = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    return {
        **figures,
        "rounds": rounds,
        "latency_ms": {"median": 1000 * median, "p99": 1000 * p99, "p99_over_median": p99 / median},
        "faults": faults[:5],
        "fault_count": len(faults),
    }


def measure_switches(registry: Registry, rate: float, texts, check, arguments: argparse.Namespace) -> dict:
    """Move the champion while clients ask at 80 % of a rate."""
    done = 'sparsecbm_switches_total{outcome="done"}'
    seconds: list[float] = []

    def move() -> None:
        for number in range(arguments.switches):
            before = figure(done) if number else 0
            begun = time.perf_counter()
            registry.set_alias(CHAMPION, 2 - number % 2)
            while (f"\n{done} " not in get("/metrics")[1]) or figure(done) == before:
                time.sleep(0.1)
            seconds.append(time.perf_counter() - begun)
        moved.set()

    moved = threading.Event()
    mover = threading.Thread(target=move)
    mover.start()
    loads = []
    while not moved.is_set():
        loads.append(ask(arguments.clients, arguments.clients * 4, texts, check, arguments.clients / (0.8 * rate))[0])
    mover.join()
    latencies = [each for load in loads for each in load.seconds]
    faults = [fault for load in loads for fault in load.faults]
    median, p99 = np.percentile(latencies, [50, 99])
    return {
        "switches": arguments.switches,
        "requests": len(latencies),
        "fault_count": len(faults),
        "faults": faults[:5],
        "versions": sorted(set().union(*(load.versions for load in loads))),
        "switch_seconds": statistics.median(seconds),
        "latency_ms": {"median": 1000 * median, "p99": 1000 * p99},
    }


class Memory(threading.Thread):
    """Notes the resident memory of a process five times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self.samples, self._end = pid, [resident(pid)], threading.Event()

    def run(self) -> None:
        """Note it until the end."""
        while not self._end.wait(0.2):
            self.samples.append(resident(self._pid))

    def end(self) -> list[float]:
        """The samples in MB."""
        self._end.set()
        self.join()
        return self.samples


def quarters(samples: Sequence[float]) -> list[float]:
    """The median of each quarter of a list."""
    return [float(np.median(part)) for part in np.array_split(np.array(samples), 4)]


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--switches", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sparsecbm-serving-") as scratch:
        folder = Path(scratch)
        models, texts = make_models(Workspace.find(Path(__file__).parent), folder / "models")
        registry, uri = make_registry(folder, folder / "models")
        expected = [model.predict(texts) for model in models]

        def check(index: int, body: dict) -> str:
            (row,) = body["predictions"]
            number = body["model"]["version"]
            wanted = expected[int(number) - 1][index].label.probabilities
            wrong = any(abs(row["probabilities"][state] - wanted[state]) > ALIKE for state in wanted)
            return f"version {number} did not say this of text {index}" if wrong else ""

        pairs = zip(*([prediction.label.probabilities for prediction in each] for each in expected), strict=True)
        told_apart = statistics.mean(any(abs(a[state] - b[state]) > 2 * ALIKE for state in a) for a, b in pairs)
        load_average = os.getloadavg()
        with served(folder, uri) as (pid, ready):
            ask(arguments.clients, 4 * arguments.clients, texts, check)  # warms up
            memory = Memory(pid)
            memory.start()
            load = measure_load(models[0].prediction_copy(PREDICTION), texts, check, arguments)
            during_load = memory.end()
            memory = Memory(pid)
            memory.start()
            switches = measure_switches(registry, load["rate"], texts, check, arguments) if arguments.switches else None
            during_switches = memory.end()
    by_quarter = quarters(during_load)
    result = {
        "requests": arguments.requests,
        "clients": arguments.clients,
        "threads": torch.get_num_threads(),
        "load_average": {"before": load_average[0], "after": os.getloadavg()[0]},
        "ready_seconds": ready,
        "texts_that_tell_versions_apart": told_apart,
        "load": load,
        "switches": switches,
        "memory_mb": {
            "by_quarter": by_quarter,
            "growth": by_quarter[3] / by_quarter[1] - 1,
            "during_switches": max(during_switches),
        },
    }
    write_json(arguments.output, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
