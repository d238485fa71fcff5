"""Fixed threads, seed and kernels inside a block, and earlier settings after it."""

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from sparsecbm.train.reproducible import one_blas_thread, reproducible


def blas_threads():
    """Return the number of threads of each loaded BLAS library."""
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_a_fit_uses_one_blas_thread_and_restores_the_others():
    with threadpool_limits(limits=2, user_api="blas"):
        assert blas_threads() == {2}
        assert one_blas_thread(blas_threads)() == {1}
        assert blas_threads() == {2}


def settings_of_torch():
    return (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_rng_state().tolist(),
    )


def test_a_block_has_its_own_seed_threads_and_deterministic_kernels():
    with reproducible(seed=3, threads=2):
        assert settings_of_torch()[:3] == (2, True, True)
        drawn = torch.rand(4)
    assert torch.equal(drawn, torch.rand(4, generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize("fails", [False, True])
def test_all_settings_are_restored_even_after_an_error(fails):
    torch.manual_seed(11)
    before = settings_of_torch()
    try:
        with reproducible(seed=3, threads=before[0] + 1):
            torch.rand(5)
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert settings_of_torch() == before


def test_blocks_nest():
    with reproducible(seed=1, threads=2):
        first = torch.rand(1)
        with reproducible(seed=2, threads=1):
            torch.rand(7)
        assert settings_of_torch()[:3] == (2, True, True)
        second = torch.rand(1)
    assert torch.equal(torch.cat([first, second]), torch.rand(2, generator=torch.Generator().manual_seed(1)))
