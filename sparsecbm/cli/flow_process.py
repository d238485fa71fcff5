"""Runs a flow of the workspace, or a module of the services, in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.extras import require
from sparsecbm.base.workspace import Workspace

SERVICES = "sparsecbm.orchestration.services"
PARENT = "SPARSECBM_PARENT"  # the module ends with this process, even if it is killed


def has_flows(workspace: Workspace) -> bool:
    """Whether the workspace holds the `flows` folder of the project."""
    return (workspace.root / "flows").is_dir()


def run_module(workspace: Workspace, module: str, *arguments: str) -> int:
    """Run `python -m MODULE` in the workspace and return its exit code, 128 + N if signal N ended it.

    SIGTERM and SIGHUP are passed on to the module, which then stops what it started.

    Raises:
        ConfigError: the workspace holds no `flows` folder, or Prefect is not installed.
    """
    require("prefect")
    if not has_flows(workspace):
        raise ConfigError(
            f"{workspace.root} has no folder flows/, which a workspace of `sparsecbm init` and a clone of the project "
            "have; run this command there, or run the stages with `dvc repro`"
        )
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=workspace.root,
        env={**os.environ, PARENT: str(os.getpid())},
    )
    with _signals_passed_on(process):
        while True:
            try:
                code = process.wait()
                return code if code >= 0 else 128 - code
            except KeyboardInterrupt:
                continue  # the terminal interrupts the child, too; it stops cleanly and prints a message


@contextmanager
def _signals_passed_on(process: subprocess.Popen) -> Iterator[None]:
    """Send SIGTERM and SIGHUP to the process instead of ending this one, which would leave it behind."""
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda sent, _: process.send_signal(sent)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
