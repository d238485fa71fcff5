"""What makes a computation repeat to the byte on one machine."""

import torch
from threadpoolctl import threadpool_limits

# A decorator for fits by scikit-learn. Their sums are small: two BLAS threads, which wait for each other by spinning,
# took ten times the CPU time of one. And the result no longer depends on how many cores the machine has.
one_blas_thread = threadpool_limits.wrap(limits=1, user_api="blas")


def make_reproducible(seed: int, threads: int) -> None:
    """Fix the seed and the number of threads, and ask for deterministic kernels.

    The order of a floating-point sum depends on the number of threads, so it is part of the configuration.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
