"""Corrections are kept as proposals, whole or not at all, and nothing applies them."""

import json
import os

import pytest

from sparsecbm.base.json_lines import append_json_lines
from tests.support.served_model import ask_all

TEXT = "the food was good"
BODY = {"text": TEXT, "concepts": {"food": "Negative"}, "label": "1", "author": "Ann", "reason": "irony"}


def kept(corrections):
    return [json.loads(line) for line in corrections.read_text(encoding="utf-8").splitlines()]


def test_a_correction_is_kept_and_changes_no_answer(app, corrections, snapshot):
    before, answer, after = ask_all(
        app,
        ("/v1/predict", {"texts": [TEXT]}),
        ("/v1/corrections", BODY),
        ("/v1/predict", {"texts": [TEXT]}),
    )
    assert answer.status_code == 201
    (record,) = kept(corrections)
    assert {name: record[name] for name in BODY} == BODY
    assert (record["version"], record["model"]) == (snapshot.version.version, "tiny")
    assert answer.json() == {name: record[name] for name in ("id", "at", "version")}
    assert record["at"].endswith("+00:00")
    assert before.json() == after.json()


def test_corrections_at_once_are_all_kept(app, corrections):
    answers = ask_all(app, *[("/v1/corrections", {**BODY, "reason": str(n), "version": "7"}) for n in range(30)])
    assert {answer.status_code for answer in answers} == {201}
    records = kept(corrections)
    assert sorted(record["reason"] for record in records) == sorted(map(str, range(30)))
    assert {record["version"] for record in records} == {"7"}
    assert len({record["id"] for record in records}) == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"concepts": {"fod": "Negative"}}, "Did you mean 'food'?"),
        ({"concepts": {"food": "bad"}}, "unknown state of 'food'"),
        ({"label": "9"}, "unknown state of 'rating'"),
        ({"concepts": {}, "label": None}, "a correction needs"),
        ({"author": ""}, "author"),
        ({"reason": "x" * 2001}, "reason"),
        ({"author": "\ud800"}, "surrogate"),
    ],
)
def test_a_wrong_correction_is_refused_and_not_kept(app, corrections, change, message):
    (answer,) = ask_all(app, ("/v1/corrections", {**BODY, **change}))
    assert answer.status_code == 422 and message in answer.json()["error"]
    assert not corrections.exists()


def test_a_file_that_cannot_be_written_is_503(app, corrections):
    corrections.mkdir(parents=True)  # a folder is in its place
    (answer,) = ask_all(app, ("/v1/corrections", BODY))
    assert answer.status_code == 503
    assert str(corrections) not in answer.text


def test_what_a_crash_left_of_a_line_is_removed_by_the_next_one(tmp_path):
    path = tmp_path / "lines.jsonl"
    append_json_lines(path, [{"a": 1}])
    with open(path, "ab") as file:
        file.write(b'{"a": 2')
    append_json_lines(path, [{"a": 3}, {"a": 4}])
    assert kept(path) == [{"a": 1}, {"a": 3}, {"a": 4}]
    assert os.stat(path).st_size == 27
