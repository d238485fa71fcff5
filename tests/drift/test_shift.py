"""Two samples of one figure: effects and p-values worked out by hand."""

import numpy as np
import pytest
from scipy.stats import chi2

from sparsecbm.drift.shift import compare_counts, compare_distributions, compare_means


def test_counts_are_compared_by_chi_square_and_total_variation():
    # 200 (30 * 50 - 70 * 50)^2 / (100 * 100 * 80 * 120) = 25 / 3
    shift = compare_counts(np.array([30, 70]), np.array([50, 50]))
    assert shift.effect == pytest.approx(0.2)
    assert shift.p == pytest.approx(chi2.sf(25 / 3, 1))
    assert shift.p == pytest.approx(0.00389, abs=1e-5)


def test_equal_shares_are_no_drift():
    shift = compare_counts(np.array([20, 40, 40]), np.array([10, 20, 20]))
    assert (shift.effect, shift.p) == (0.0, pytest.approx(1.0))


def test_rare_states_are_pooled_before_the_test():
    # The two rare states expect 2 and 1 texts of 100; together they expect 3, so they join the next one.
    rare = compare_counts(np.array([57, 40, 2, 1]), np.array([56, 40, 2, 2]))
    assert rare.p == pytest.approx(chi2.sf(200 * (57 * 44 - 43 * 56) ** 2 / (100 * 100 * 113 * 87), 1))
    # Two states that stay rare get Fisher's test: 1 of 10 against 0 of 10 is no sign at all.
    assert compare_counts(np.array([9, 1]), np.array([10, 0])).p == pytest.approx(1.0)


def test_a_variable_with_one_state_and_an_empty_side_give_no_sign():
    assert compare_counts(np.array([50, 0]), np.array([70, 0])).p == 1.0
    assert compare_counts(np.array([50, 20]), np.array([0, 0])).p == 1.0


def test_distributions_are_compared_by_their_largest_gap():
    shift = compare_distributions(np.array([1, 2, 3, 4.0]), np.array([3, 4, 5, 6.0]))
    assert shift.effect == pytest.approx(0.5)
    same = np.linspace(0, 1, 50)
    assert compare_distributions(same, same).p == pytest.approx(1.0)


def test_means_are_compared_by_ranks():
    zeros = np.zeros(40)
    some = np.where(np.arange(40) < 20, 0.2, 0.0)
    shift = compare_means(zeros, some)
    assert shift.effect == pytest.approx(0.1)
    # U = 20 * 40 + 20 * 20 = 1200 with mean 800; 60 zeros are tied, and so are the 20 others.
    variance = 1600 / 12 * (81 - (60**3 - 60 + 20**3 - 20) / (80 * 79))
    assert shift.p == pytest.approx(chi2.sf((400 - 0.5) ** 2 / variance, 1))
    assert compare_means(zeros, zeros).p == 1.0
