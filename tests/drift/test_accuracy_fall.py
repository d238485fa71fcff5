"""A fall of accuracy within strata, by hand."""

import numpy as np
import pytest
from scipy.stats import chi2

from sparsecbm.drift.accuracy_fall import compare_accuracy


def test_a_fall_within_one_stratum():
    # 100 of 120 are right, so 20 expect 16.67 right with variance 20 * 100 * 100 * 20 / (120^2 * 119); 10 are.
    shift = compare_accuracy(np.array([[10, 90]]), np.array([[10, 10]]))
    variance = 20 * 100 * 100 * 20 / (120**2 * 119)
    assert shift.effect == pytest.approx(0.4)
    assert shift.p == pytest.approx(chi2.sf((10 - 20 * 100 / 120) ** 2 / variance, 1))


def test_other_frequencies_of_strata_are_no_fall():
    # .9 and .5 right in both, but the window holds mostly the hard stratum: over all, .7 becomes .54.
    shift = compare_accuracy(np.array([[10, 90], [50, 50]]), np.array([[2, 18], [90, 90]]))
    assert shift.effect == pytest.approx(0.0)
    assert shift.p == pytest.approx(1.0)


def test_a_rise_is_a_negative_fall():
    assert compare_accuracy(np.array([[50, 50]]), np.array([[10, 90]])).effect == pytest.approx(-0.4)


def test_strata_of_one_side_only_say_nothing():
    assert compare_accuracy(np.array([[5, 5], [0, 0]]), np.array([[0, 0], [5, 5]])).p == 1.0
