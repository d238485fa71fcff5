"""What makes a computation repeat to the byte on one machine."""

import torch


def make_reproducible(seed: int, threads: int) -> None:
    """Fix the seed and the number of threads, and ask for deterministic kernels.

    The order of a floating-point sum depends on the number of threads, so it is part of the configuration.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
