"""Bars of long work: silent while work is short, one at a time, and never in the way of the items."""

import pytest

from sparsecbm.base import progress as module
from sparsecbm.base.progress import progress


@pytest.fixture
def at_once(monkeypatch):
    """Let a bar appear before its first item."""
    monkeypatch.setattr(module, "DELAY", 0.0)


def test_work_that_is_done_soon_shows_nothing(monkeypatch, capsys):
    monkeypatch.setattr(module, "DELAY", 3600.0)
    assert list(progress(range(3), "count", "item")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_long_work_shows_its_name_and_how_much_is_done_on_stderr(at_once, capsys):
    assert list(progress([5, 6, 7], "count", "item")) == [5, 6, 7]
    out, err = capsys.readouterr()
    assert out == "" and "count:   0%" in err and "3/3" in err and " item/s" in err


def test_work_of_unknown_length_takes_a_total(at_once, capsys):
    list(progress(iter("ab"), "letters", "letter", total=2))
    assert "2/2" in capsys.readouterr().err
    list(progress(iter("ab"), "letters", "letter"))
    assert "2 letter" in capsys.readouterr().err


def test_work_within_work_shows_one_bar(at_once, capsys):
    pairs = [(a, b) for a in progress("ab", "outer", "letter") for b in progress("xy", "inner", "letter")]
    assert pairs == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    err = capsys.readouterr().err
    assert "outer" in err and "inner" not in err
    list(progress("xy", "inner", "letter"))
    assert "inner" in capsys.readouterr().err, "when the outer work is done, the next bar shows"


@pytest.mark.parametrize("stop", ["error", "break"])
def test_after_an_error_or_a_break_the_next_bar_shows(at_once, capsys, stop):
    def work():
        for item in progress("ab", "first", "letter"):
            if stop == "error":
                raise ValueError(item)
            break

    try:
        work()
    except ValueError as error:
        del error
    list(progress("ab", "second", "letter"))
    assert "second" in capsys.readouterr().err
