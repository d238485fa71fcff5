"""What a process of a stage takes before it computes anything: Python and its libraries, with their code in memory."""

import subprocess
import sys
from functools import cache

_PROGRAM = "import sparsecbm.stages.prune, resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


@cache
def base_memory() -> int:
    """Bytes of a fresh process that has imported what a stage needs; measured once in a process, for some seconds."""
    answer = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    return int(answer.stdout.split()[-1]) * 1024
