"""Labels that an order saves, worked out by hand."""

import pytest

from benchmarks.label_savings import labels_needed, shares

RANDOM = {"labels": [100, 400, 800, 1200, 1600], "dev": [0.1, 0.4, 0.5, 0.6, 0.7]}
QUICK = {"labels": [100, 300, 500, 700], "dev": [0.1, 0.5, 0.45, 0.65]}


def test_labels_are_interpolated_at_the_first_crossing():
    assert labels_needed(QUICK, "dev", 0.4) == pytest.approx(250)
    assert labels_needed(QUICK, "dev", 0.5) == 300
    assert labels_needed(QUICK, "dev", 0.6) == pytest.approx(650)
    assert labels_needed(QUICK, "dev", 0.05) == 100


def test_a_kappa_that_is_never_reached_takes_all_labels():
    assert labels_needed(QUICK, "dev", 0.7) == 700


def test_shares_are_of_the_labels_of_the_random_order():
    result = shares({"1": QUICK}, {"1": RANDOM}, "dev")
    assert result["400"] == {"kappa": [0.4], "share": [0.625]}
    assert result["800"] == {"kappa": [0.5], "share": [0.375]}
    assert result["1200"]["share"] == [pytest.approx(650 / 1200, abs=1e-4)]
    bump = RANDOM | {"dev": [0.1, 0.6, 0.5, 0.55, 0.7]}
    assert shares({"1": QUICK}, {"1": bump}, "dev")["800"] == {
        "kappa": [0.5],
        "share": [pytest.approx(300 / 340, abs=1e-4)],
    }
    same = shares({"1": RANDOM}, {"1": RANDOM}, "dev")
    assert [row["share"] for row in same.values()] == [[1.0]] * 4
