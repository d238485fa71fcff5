"""What labels buy, worked out by hand."""

import math

import numpy as np
import pytest

from sparsecbm.annotate.human_labels import Decision
from sparsecbm.annotate.review.forecast import agreement, expected_gain, expected_kappa, half_width, pace

P = np.array([[0.8, 0.2], [0.3, 0.7], [0.5, 0.5], [np.nan, np.nan]])


def decisions(*seconds, action="label"):
    return [Decision("k", "food", "bad", "ann", f"2026-01-01T00:{s // 60:02}:{s % 60:02}Z", action) for s in seconds]


def test_the_pace_leaves_pauses_out():
    assert pace(decisions(0, 5, 10, 15, 20)) == pytest.approx(12)
    assert pace(decisions(0, 5, 10, 600, 605, 610)) == pytest.approx(12)
    assert pace(decisions(0, 5, 10, 15)) is None
    assert pace(decisions(0, 0, 0, 0, 0)) is None, "keys from a pipe have no pace"


def test_agreement_counts_cells_that_both_labelled():
    result = agreement(P, np.array([0, 0, -1, 1]))
    assert (result.cells, result.accuracy, result.expected) == (2, 0.5, pytest.approx(0.75))
    assert result.interval == pytest.approx((0.0945, 0.9055), abs=1e-4)  # Wilson, 1 of 2
    assert result.kappa == 0, "people gave one state only"
    perfect = agreement(P[:2], np.array([0, 1]))
    assert (perfect.accuracy, perfect.kappa) == (1, 1)
    nothing = agreement(P, np.array([-1, -1, -1, 0]))
    assert nothing.cells == 0 and math.isnan(nothing.kappa) and math.isnan(nothing.accuracy)


def test_expected_kappa_takes_people_as_right():
    # In force 0, 1, 0; right with .8 + .7 + .5 = 2 of 3. True shares: 1.6 and 1.4 of 3; in force: 2 and 1 of 3.
    chance = (2 * 1.6 + 1 * 1.4) / 9
    assert expected_kappa(P, np.full(4, -1)) == pytest.approx((2 / 3 - chance) / (1 - chance))
    assert expected_kappa(P, np.array([0, 1, 0, 1])) == 1
    assert math.isnan(expected_kappa(P[3:], np.array([-1])))
    assert math.isnan(expected_kappa(np.array([[1.0, 0.0]]), np.array([0])))


def test_the_gain_is_what_machines_doubt():
    before = expected_kappa(P, np.full(4, -1))
    assert expected_gain(P, np.full(4, -1), [0, 1, 2]) == pytest.approx(1 - before), "all errors gone"
    assert expected_gain(P, np.full(4, -1), [2]) == pytest.approx((1 - before) * 0.5)
    assert expected_gain(P, np.full(4, -1), []) == 0
    assert expected_gain(P, np.array([0, 1, 0, 1]), [2]) == 0


def test_more_cells_narrow_the_interval():
    assert half_width(0) == 0.5
    assert half_width(100) == pytest.approx(0.0962, abs=1e-4)
    assert half_width(400) == pytest.approx(0.0488, abs=1e-4)
