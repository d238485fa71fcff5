"""A Prefect server for one flow, when `sparsecbm up` runs none. It ends with the flow, however that ends."""

import atexit
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from sparsecbm.base.guard import HOST
from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.settings import answers

ATTEMPTS = 2
START_SECONDS = 120
PARENT = "SPARSECBM_SERVER_PARENT"  # the process with which the server ends


class TemporaryServer:
    """The server's process. `PREFECT_API_URL` leads to it from the start, so call this before Prefect is imported.

    Attributes:
        log: what the server prints
    """

    def __init__(self, workspace: Workspace) -> None:
        self.log: Path = workspace.state / "logs" / "temporary-server.log"
        self._root = workspace.root
        self._port = _free_port()
        self._process = self._start()
        # Handlers run in the reverse order of registration, so Prefect sends its last log lines before.
        atexit.register(self.stop)
        os.environ["PREFECT_API_URL"] = f"http://{HOST}:{self._port}/api"

    def wait(self, attempts: int = ATTEMPTS, seconds: float = START_SECONDS) -> bool:
        """Wait until the server answers; start it again if it ended or took too long. Return whether it answers."""
        for attempt in range(1, attempts + 1):
            deadline = time.monotonic() + seconds
            while self._process.poll() is None and time.monotonic() < deadline:
                if answers(f"http://{HOST}:{self._port}/api/health"):
                    return True
                time.sleep(0.1)
            self.stop()
            if attempt < attempts:
                self._process = self._start()
        return False

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "sparsecbm.orchestration.guarded_server", "temporary", str(self._port)],
                cwd=self._root, env={**os.environ, PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
