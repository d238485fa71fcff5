"""Runs a module of the workspace's `flows` folder in a process of its own."""

import subprocess
import sys

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.extras import require
from sparsecbm.base.workspace import Workspace


def has_flows(workspace: Workspace) -> bool:
    """Whether the workspace holds the `flows` folder of the project."""
    return (workspace.root / "flows").is_dir()


def run_flow_module(workspace: Workspace, name: str, *arguments: str) -> int:
    """Run `python -m flows.NAME` in the workspace and return its exit code.

    Raises:
        ConfigError: the workspace holds no `flows` folder, or Prefect is not installed.
    """
    require("prefect")
    if not has_flows(workspace):
        raise ConfigError(
            f"{workspace.root} has no folder flows/, which comes with a clone of the project; "
            "run this command there, or run the stages with `dvc repro`"
        )
    process = subprocess.Popen([sys.executable, "-m", f"flows.{name}", *arguments], cwd=workspace.root)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the terminal interrupts the child, too; it stops cleanly and prints a message
