"""Holm's correction, by hand and against its promise."""

import numpy as np
import pytest

from sparsecbm.drift.holm import holm


def test_each_p_value_is_multiplied_by_what_is_left():
    # sorted .005 * 4, .01 * 3, .03 * 2, .04 * 1; none below the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_adjusted_values_stop_at_one_and_one_test_stays_as_it_is():
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def test_false_alarms_of_twenty_tests_stay_at_the_level():
    draw = np.random.default_rng(1)
    p_values = draw.uniform(size=(4000, 20))
    alarms = np.mean([min(holm(row)) <= 0.05 for row in p_values])
    uncorrected = (p_values.min(1) <= 0.05).mean()
    assert 0.04 <= alarms <= 0.06  # 1 - (1 - .05 / 20)^20 = .0488
    assert uncorrected > 0.6  # 1 - .95^20 = .64
