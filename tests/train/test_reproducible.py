"""Fits by scikit-learn keep to one BLAS thread, whatever the machine has."""

from threadpoolctl import threadpool_info, threadpool_limits

from sparsecbm.train.reproducible import one_blas_thread


def blas_threads():
    """How many threads each loaded BLAS library would use."""
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_a_fit_has_one_thread_and_the_others_come_back():
    with threadpool_limits(limits=2, user_api="blas"):
        assert blas_threads() == {2}
        assert one_blas_thread(blas_threads)() == {1}
        assert blas_threads() == {2}
