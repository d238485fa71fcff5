"""Runs a script in several processes that train together, without a launcher, and finds processes of a folder."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.tiny_pipeline import ROOT, free_port


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process with one thread that imports this project."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}


def run_together(script: Path, *arguments: object, number: int = 2) -> list[tuple[int, str]]:
    """Run a script in some processes, as a launcher does; return the exit code and the errors of each."""
    port = str(free_port())
    processes = [
        subprocess.Popen(
            [sys.executable, script, *map(str, arguments)],
            env=environment(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(number), MASTER_ADDR="127.0.0.1", MASTER_PORT=port
            ),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(number)
    ]
    errors = [process.communicate(timeout=600)[1] for process in processes]
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return all running processes but this one whose command line, environment or working folder names a folder."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _names(process, str(folder))]


def _names(process: psutil.Process, folder: str) -> bool:
    try:
        known = [*process.cmdline(), *process.environ().values(), process.cwd()]
    except psutil.Error:  # it has ended, or its parent has not asked for its end yet
        return False
    return any(folder in each for each in known)
