"""What a process of a stage takes before it computes anything: Python and its libraries, with their code in memory."""

import subprocess
import sys
from functools import cache
from pathlib import Path

_PROGRAM = "import sparsecbm.stages.prune; from sparsecbm.planning.base_memory import peak_memory; print(peak_memory())"


@cache
def base_memory() -> int:
    """Bytes of a fresh process that has imported what a stage needs; measured once in a process, for some seconds."""
    answer = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    return int(answer.stdout.split()[-1])


def peak_memory() -> int:
    """The most bytes that this process has had in memory so far.

    `getrusage` would count the parent as well: a child that is started by fork or spawn takes over its peak.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
