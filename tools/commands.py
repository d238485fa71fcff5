"""Run commands in a workspace with the code that it holds, for the scripts that renew docs/img."""

import os
import subprocess
import sys
from pathlib import Path

# Settings of whoever runs the script; the workspace has its own services and its own code.
OUTSIDE = ("PREFECT_", "MLFLOW_", "SPARSECBM_", "PYTHONPATH")


def environment(**added: str) -> dict[str, str]:
    """The environment of this process without settings of other services, and with some more variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)} | added


def run(workspace: Path, module: str, *arguments: str, code: int = 0, **added: str) -> str:
    """Run a module of Python in a workspace, and return what it printed.

    Raises:
        RuntimeError: it ended with another code; holds its output.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, cwd=workspace, env=environment(**added), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != code:
        raise RuntimeError(f"{module} {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout
