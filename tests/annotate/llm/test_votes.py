"""Votes and probabilities become one state with a confidence."""

import pytest

from sparsecbm.annotate.llm.question import Cell
from sparsecbm.annotate.llm.votes import Verdict, count_votes

STATES = ("bad", "good", "unknown")


def votes(*states):
    return count_votes([Cell(state) for state in states], STATES)


def test_the_majority_decides_and_its_share_is_the_confidence():
    shares = {"bad": pytest.approx(2 / 3), "good": pytest.approx(1 / 3), "unknown": 0}
    assert votes("bad", "good", "bad") == Verdict("bad", pytest.approx(2 / 3), shares)
    assert votes("good", None, "good") == Verdict("good", 1.0, {"bad": 0, "good": 1, "unknown": 0})


def test_a_tie_decides_nothing_and_one_answer_says_nothing_of_its_confidence():
    assert votes("bad", "good") == Verdict(None, None, {"bad": 0.5, "good": 0.5, "unknown": 0})
    assert votes("bad") == Verdict("bad", None, None)
    assert votes(None) == votes() == Verdict(None, None, None)


def test_a_single_answer_keeps_its_state_and_has_the_probability_of_it():
    shares = {"bad": 0.3, "good": 0.45, "unknown": 0.25}
    assert count_votes([Cell("bad", shares)], STATES) == Verdict("bad", 0.3, shares)
    assert count_votes([Cell(None, {"bad": 0.5, "good": 0.5, "unknown": 0.0})], STATES).state is None


def test_an_answer_without_probabilities_is_certain_beside_one_with_them():
    cells = [Cell("bad", {"bad": 0.6, "good": 0.4, "unknown": 0.0}), Cell("good")]
    expected = {"bad": pytest.approx(0.3), "good": pytest.approx(0.7), "unknown": 0}
    assert count_votes(cells, STATES) == Verdict("good", pytest.approx(0.7), expected)


def test_probabilities_are_averaged():
    cells = [
        Cell("bad", {"bad": 0.6, "good": 0.4, "unknown": 0.0}),
        Cell("good", {"bad": 0.1, "good": 0.9, "unknown": 0.0}),
    ]
    expected = {"bad": pytest.approx(0.35), "good": pytest.approx(0.65), "unknown": 0}
    assert count_votes(cells, STATES) == Verdict("good", pytest.approx(0.65), expected)
