"""Texts a second that the annotator `llm` labels, against a scripted server with a fixed latency.

    python -m benchmarks.annotation_speed [--texts 10000] [--latency 0.05] [--concurrency 32] [--output FILE]

The server is a process of its own on loopback. It answers each request after the latency, so that at best
concurrency / latency requests a second are possible. Client and server share the cores of the machine. The time is that
of the whole call: prompts, requests, checks, the file of answers, and the table. Memory is that of the client. Before
and after, the same number of requests at a time go out by the bare client of OpenAI, without prompts and checks: a
machine that has other work to do shows there.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openai import AsyncOpenAI, DefaultAioHttpClient

from sparsecbm.base.files import write_json
from tests.support.llm_annotation import CONCEPTS, NOBODY, known_texts, make_annotator

RESULT = Path(__file__).parent / "results" / "annotation-speed.json"
BARE = 2000  # requests of the bare client
PAGE = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def server(latency: float) -> Iterator[str]:
    """Serve in another process; yields the base address."""
    command = [sys.executable, "-m", "tests.support.openai_server", "--latency", str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.wait()


def resident_megabytes() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


@contextmanager
def memory_samples() -> Iterator[list[float]]:
    """Sample the memory of this process every tenth of a second while the block runs."""
    samples, stop = [], threading.Event()

    def sample() -> None:
        while not stop.wait(0.1):
            samples.append(resident_megabytes())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


async def bare_rate(url: str, concurrency: int) -> float:
    """Requests a second of the bare client."""
    schema = {concept.name: {"enum": list(concept.states)} for concept in CONCEPTS}
    body = {
        "model": "m",
        "messages": [{"role": "system", "content": "x" * 1000}, {"role": "user", "content": '<text>"food bad"</text>'}],
        "response_format": {"json_schema": {"schema": {"properties": schema}}},
    }
    numbers = iter(range(BARE))
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=DefaultAioHttpClient()) as client:

        async def work() -> None:
            for _ in numbers:
                await client.post("/chat/completions", body=body, cast_to=object)

        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        return BARE / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    texts = known_texts(arguments.texts)
    with tempfile.TemporaryDirectory() as folder, server(arguments.latency) as url:
        annotator = make_annotator(url, Path(folder), concurrency=arguments.concurrency, timeout=60)
        load = os.getloadavg()[0]
        before = asyncio.run(bare_rate(url, arguments.concurrency))
        clock, cpu = time.perf_counter(), time.process_time()
        with memory_samples() as memory:
            labels = annotator.annotate(texts, CONCEPTS, NOBODY)
        seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
        after = asyncio.run(bare_rate(url, arguments.concurrency))
    assert len(labels) == len(CONCEPTS) * len(texts) and labels["state"].notna().all()
    rate, ideal = len(texts) / seconds, arguments.concurrency / arguments.latency
    quarter = max(1, len(memory) // 4)
    result = {
        "texts": len(texts),
        "latency": arguments.latency,
        "concurrency": arguments.concurrency,
        "ideal_rate": ideal,
        "rate": round(rate, 1),
        "share_of_ideal": round(rate / ideal, 4),
        "cpu_milliseconds_for_a_text": round(1000 * cpu / len(texts), 3),
        "bare_client_rates": [round(before, 1), round(after, 1)],
        "load_average": round(load, 1),
        "memory_megabytes": {
            "second_quarter": round(statistics.median(memory[quarter : 2 * quarter]), 1),
            "third_quarter": round(statistics.median(memory[2 * quarter : 3 * quarter]), 1),
            "highest": round(max(memory), 1),
        },
    }
    write_json(arguments.output, result)
    print(result)


if __name__ == "__main__":
    main()
