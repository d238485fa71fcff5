"""Corrections and labels: each is kept with its author, once, and can be taken back."""

import pytest

from sparsecbm.annotate.human_labels import HUMAN_FILE, read_decisions, standing_decisions
from sparsecbm.annotate.labels import text_key
from sparsecbm.base.json_lines import read_json_lines
from sparsecbm.workbench import correction_routes
from sparsecbm.workbench.application import JOURNAL
from sparsecbm.workbench.journal import Journal

TEXT = "the food was good and the place was loud"
CORRECTION = {"text": TEXT, "read.food": "Positive", "set.food": "Negative", "read.noise": "loud", "set.noise": "loud",
              "author": "Ånn", "reason": "irony"}  # fmt: skip


def decisions(workspace):
    return standing_decisions(read_decisions(workspace.annotations / HUMAN_FILE))


def test_a_correction_keeps_what_was_set_and_changes_no_answer(ask, words_of, workspace, snapshot):
    before = snapshot.model.predict([TEXT])
    response = ask("POST", "/corrections", data=CORRECTION)
    assert "food Negative" in words_of(response)
    (record,) = read_json_lines(workspace.state / "corrections.jsonl")
    assert (record["text"], record["concepts"], record["author"], record["reason"]) == (
        TEXT, {"food": "Negative"}, "Ånn", "irony",
    )  # fmt: skip
    assert record["version"] == snapshot.version.version
    assert snapshot.model.predict([TEXT]) == before
    assert decisions(workspace) == []
    told = words_of(ask("GET", "/corrections", whole=True))
    assert "food Negative : irony" in told and "Ånn" in told


def test_a_correction_can_be_a_label_too(ask, workspace):
    ask("POST", "/corrections", data={**CORRECTION, "as_label": "yes"})
    (decision,) = decisions(workspace)
    assert (decision.key, decision.concept, decision.state, decision.author) == (
        text_key(TEXT), "food", "Negative", "Ånn",
    )  # fmt: skip


def test_a_form_that_is_sent_twice_keeps_one_correction(ask, workspace):
    form = {**CORRECTION, "as_label": "yes", "form": "7"}
    for _ in range(2):
        assert ask("POST", "/corrections", data=form).is_success
    files = [workspace.state / "corrections.jsonl", workspace.annotations / HUMAN_FILE, workspace.state / JOURNAL]
    assert [len(read_json_lines(file)) for file in files] == [1, 1, 1]
    ask("POST", "/corrections", data={**form, "form": "8"})
    assert len(read_json_lines(files[0])) == 2


@pytest.mark.parametrize("crash", ["append_decisions", "append_once"])
def test_a_form_that_is_sent_again_after_a_crash_completes_what_is_missing(ask, workspace, monkeypatch, crash):
    """The crash comes before the label is written, or before the journal is."""
    form = {**CORRECTION, "as_label": "yes", "form": "7"}
    with monkeypatch.context() as patch:
        owner = correction_routes if crash == "append_decisions" else Journal
        patch.setattr(owner, crash, lambda *_, **__: 1 / 0)
        assert ask("POST", "/corrections", data=form).status_code == 500
    files = [workspace.state / "corrections.jsonl", workspace.annotations / HUMAN_FILE, workspace.state / JOURNAL]
    before = [len(read_json_lines(file)) for file in files]
    assert before == ([1, 0, 0] if crash == "append_decisions" else [1, 1, 0])
    assert ask("POST", "/corrections", data=form).is_success
    assert [len(read_json_lines(file)) for file in files] == [1, 1, 1]


def test_the_browser_remembers_the_author(ask):
    cookie = ask("POST", "/corrections", data=CORRECTION).headers["set-cookie"]
    assert "author=%C3%85nn" in cookie and "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert 'value="Ånn"' in ask("GET", "/", whole=True).text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"author": " "}, "give your name"),
        ({"author": "x" * 101}, "give your name"),
        ({"set.food": "Positive"}, "nothing is set"),
        ({"set.food": "nice"}, "unknown state of 'food'"),
        ({"reason": "x" * 5000}, "reason"),
        ({"text": ""}, "text"),
    ],
)
def test_a_wrong_correction_is_told_and_not_kept(ask, words_of, workspace, change, message):
    response = ask("POST", "/corrections", data={**CORRECTION, "as_label": "yes", **change})
    assert response.status_code == 422 and message in words_of(response)
    assert read_json_lines(workspace.state / "corrections.jsonl") == [] and decisions(workspace) == []


def key_of(response):
    return response.text.partition('name="key" value="')[2].partition('"')[0]


def test_labels_are_kept_one_text_after_the_other_and_taken_back(ask, words_of, workspace):
    assert "Your name" in words_of(ask("GET", "/label", whole=True))
    assert ask("POST", "/label/who", whole=True, data={"author": "Bea"}).headers["location"] == "/label"
    first = key_of(ask("GET", "/label", whole=True))
    answer = ask("POST", "/label", data={"key": first, "state.food": "Positive", "state.noise": "cannot decide"})
    assert "kept: food Positive, noise cannot decide" in words_of(answer) and key_of(answer) != first
    assert [(each.key, each.concept, each.state) for each in decisions(workspace)] == [
        (first, "food", "Positive"), (first, "noise", None),
    ]  # fmt: skip
    back = ask("POST", "/label", data={"key": key_of(answer), "action": "undo"})
    assert "taken back: noise" in words_of(back) and key_of(back) == first
    assert [each.concept for each in decisions(workspace)] == ["food"]


def test_a_text_that_is_left_out_comes_no_more(ask):
    ask("POST", "/label/who", whole=True, data={"author": "Bea"})
    first = key_of(ask("GET", "/label"))
    assert key_of(ask("POST", "/label", data={"key": first, "action": "skip"})) != first


def test_two_people_get_different_texts(ask):
    ask("POST", "/label/who", whole=True, data={"author": "Bea"})
    first = key_of(ask("GET", "/label"))
    ask("POST", "/label/who", whole=True, data={"author": "Cem"})
    assert key_of(ask("GET", "/label")) != first


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "no state is chosen"),
        ({"state.food": "nice"}, "unknown state of 'food'"),
        ({"state.fod": "Positive"}, "Did you mean 'food'?"),
        ({"key": "0" * 16, "state.food": "Positive"}, "no text of this queue"),
    ],
)
def test_a_wrong_label_is_told_and_not_kept(ask, words_of, workspace, fields, message):
    ask("POST", "/label/who", whole=True, data={"author": "Bea"})
    key = key_of(ask("GET", "/label"))
    response = ask("POST", "/label", data={"key": key, **fields})
    assert response.status_code == 422 and message in words_of(response)
    assert decisions(workspace) == []
