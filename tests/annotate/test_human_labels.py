"""Decisions of people: appended, taken back, and put to the vote."""

import json
import re
from dataclasses import asdict

import pytest

from sparsecbm.annotate.human_labels import Decision, append_decisions, current_labels, read_decisions
from sparsecbm.base.errors import DataError

AT = "2026-01-02T03:04:05Z"


def decide(key: str, state: str | None, author: str = "ann", action="label") -> Decision:
    return Decision(key, "food", state, author, AT, action)


def states(*decisions: Decision) -> dict:
    table = current_labels(decisions)
    return {
        row.key: (row.state if isinstance(row.state, str) else None, row.votes, row.agreement)
        for row in table.itertuples()
    }


def test_the_latest_decision_of_an_author_counts_and_undo_takes_it_back():
    assert states(decide("a", "bad"), decide("a", "good")) == {"a": ("good", 1, 1.0)}
    assert states(decide("a", "bad"), decide("a", "good"), decide("a", None, action="undo")) == {"a": ("bad", 1, 1.0)}
    assert states(decide("a", "bad"), decide("a", None, action="undo"), decide("a", None, action="undo")) == {}
    assert states(decide("a", "bad"), decide("a", None, author="bob", action="undo")) == {"a": ("bad", 1, 1.0)}


def test_the_majority_decides_and_a_tie_decides_nothing():
    votes = [decide("a", "bad"), decide("a", "good", "bob"), decide("a", "bad", "eve")]
    assert states(*votes) == {"a": ("bad", 3, pytest.approx(2 / 3))}
    assert states(*votes[:2]) == {"a": (None, 2, 0.5)}
    assert states(decide("b", None)) == {"b": (None, 1, 1.0)}


def test_decisions_are_appended_and_a_line_that_was_cut_off_does_not_count(tmp_path):
    path = tmp_path / "new" / "human.jsonl"
    assert read_decisions(path) == []
    append_decisions(path, [decide("a", "bad")])
    with open(path, "ab") as file:
        file.write(b'{"key": "b", "conc')
    assert read_decisions(path) == [decide("a", "bad")]
    append_decisions(path, [decide("c", "größer")])
    assert read_decisions(path) == [decide("a", "bad"), decide("c", "größer")]


def changed(**values) -> bytes:
    return json.dumps(asdict(decide("b", "bad")) | values).encode()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"not json", ""),
        (b'{"key": "b"}', "'concept' must be a text"),
        (b"[1]", ""),
        (b"\xff", ""),
        (changed(action="lable"), "unknown action 'lable'. Did you mean 'label'"),
        (changed(action=None), "unknown action 'None'"),
        (changed(at=None), "'at' must be a text"),
        (changed(at="yesterday"), "'yesterday' is no ISO 8601 time"),
        (changed(state=1), "'state' must be a text, or null"),
        (changed(key=5), "'key' must be a text"),
        (changed(note="ok"), "unknown key 'note'"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, fault):
    append_decisions(tmp_path / "human.jsonl", [decide("a", "bad")])
    with open(tmp_path / "human.jsonl", "ab") as file:
        file.write(line + b"\n")
    with pytest.raises(DataError, match=rf"human.jsonl, line 2.*{re.escape(fault)}"):
        read_decisions(tmp_path / "human.jsonl")
