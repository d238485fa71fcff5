"""The memory of a fresh process, which is its own and not that of the process that starts it."""

import subprocess
import sys

import numpy as np

from sparsecbm.planning.base_memory import base_memory, peak_memory

GIGABYTE = 2**30
OF_CHILD = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def test_the_parents_memory_does_not_count():
    """`getrusage` of a child counts it, which is the negative control."""
    block = np.ones(GIGABYTE // 4, dtype=np.float64)  # 2 GB
    assert peak_memory() > 2 * GIGABYTE
    by_usage = subprocess.run([sys.executable, "-c", OF_CHILD], capture_output=True, text=True, check=True)
    base_memory.cache_clear()
    base = base_memory()
    assert int(by_usage.stdout) * 1024 > block.nbytes > 2 * base
    assert base > GIGABYTE // 10
