"""Computations that repeat to the byte on one machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

# A decorator for fits by scikit-learn. Their sums are small: two BLAS threads wait for each other by spinning and took
# ten times the CPU time of one. With one thread the result does not depend on the number of cores either.
one_blas_thread = threadpool_limits.wrap(limits=1, user_api="blas")


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Run a block with a fixed seed, a fixed number of threads and deterministic kernels.

    The order of a floating-point sum depends on the number of threads, so that number belongs to the configuration.
    After the block, or an error in it, torch has its earlier random state, threads and kernels again.

    Args:
        seed: of torch's random numbers
        threads: that one operation of torch uses on the CPU
    """
    earlier_threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # A GPU that nothing has used yet has no random state to keep, and looking at it would start CUDA.
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(gpus):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.set_num_threads(earlier_threads)
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
