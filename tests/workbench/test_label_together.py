"""Several people label: a third one settles what two disagree on, and nothing is kept twice or from an old page."""

import re

import pytest

from sparsecbm.annotate.human_labels import (
    HUMAN_FILE,
    Decision,
    append_decisions,
    current_labels,
    disputed_cells,
    read_decisions,
)
from sparsecbm.annotate.review.queue import LEASES
from sparsecbm.base.json_lines import read_json_lines


def decision(author, state, concept="food", key="k"):
    return Decision(key, concept, state, author, "2026-01-01T00:00:00Z")


def as_author(ask, name):
    """Go on as a person, and return the page of the next text."""
    ask("POST", "/label/who", whole=True, data={"author": name})
    return ask("GET", "/label")


def field(response, name):
    return re.search(f'name="{name}" value="([^"]*)"', response.text)[1]


def form(response, **states):
    """Return the form of a page with states of concepts."""
    chosen = {f"state.{concept}": state for concept, state in states.items()}
    return {"key": field(response, "key"), "stamp": field(response, "stamp"), **chosen}


def stored(workspace):
    return read_decisions(workspace.annotations / HUMAN_FILE)


def journal(workspace):
    lines = read_json_lines(workspace.state / "workbench.jsonl")
    return [(line["action"], line["by"], line["text"], line["states"]) for line in lines]


@pytest.mark.parametrize(
    ("votes", "disputed"),
    [
        ([("ann", "good"), ("bea", "bad")], True),
        ([("ann", "good"), ("bea", None)], True),
        ([("ann", "good"), ("bea", "good")], False),
        ([("ann", "good")], False),
        ([("ann", "good"), ("bea", "bad"), ("cem", "bad")], False),
        ([("ann", "good"), ("bea", "bad"), ("cem", None)], True),
        ([("ann", "good"), ("bea", "bad"), ("bea", "good")], False),  # bea changed her mind
    ],
)
def test_a_cell_is_disputed_without_a_majority(votes, disputed):
    authors = tuple(dict.fromkeys(author for author, _ in votes))
    cells = disputed_cells([decision(*vote) for vote in votes])
    assert cells == ({("k", "food"): authors} if disputed else {})


def test_a_third_person_is_asked_first_what_two_disagree_on(ask, words_of, workspace):
    page = as_author(ask, "Ann")
    key = field(page, "key")
    ask("POST", "/label", data=form(page, food="Positive", noise="loud"))
    as_author(ask, "Bea")
    after = ask("POST", "/label", data={"key": key, "state.food": "Negative", "state.noise": "loud"})
    assert field(after, "key") != key and "On 1 of your labels others disagree" in words_of(after)
    assert field(as_author(ask, "Ann"), "key") != key  # the two who disagree are not asked again

    third = as_author(ask, "Cem")
    assert field(third, "key") == key and "people disagree, and you have not said anything yet" in words_of(third)
    assert 'name="state.food"' in third.text and 'name="state.noise"' not in third.text  # they agree on the noise
    settled = ask("POST", "/label", data=form(third, food="Negative"))
    assert field(settled, "key") != key
    labels = current_labels(stored(workspace)).set_index(["key", "concept"])["state"]
    assert labels[key, "food"] == "Negative" and labels[key, "noise"] == "loud"
    assert field(as_author(ask, "Dora"), "key") != key  # a majority needs nobody else
    assert "others disagree" not in words_of(as_author(ask, "Bea"))


def test_a_form_that_is_sent_twice_is_kept_once(ask, words_of, workspace):
    fields = form(as_author(ask, "Ann"), food="Positive", noise="cannot decide")
    assert "kept: food Positive" in words_of(ask("POST", "/label", data=fields))
    again = ask("POST", "/label", data=fields)
    assert again.status_code == 200 and "kept before: food Positive, noise cannot decide" in words_of(again)
    assert len(stored(workspace)) == 2 and len(journal(workspace)) == 1


def test_a_text_that_somebody_labelled_meanwhile_is_told(ask, words_of, workspace):
    fields = form(as_author(ask, "Ann"), food="Positive")
    append_decisions(workspace.annotations / HUMAN_FILE, [decision("Bea", "Negative", key=fields["key"])])
    response = ask("POST", "/label", data=fields)
    assert response.status_code == 409 and "Bea labelled this text since you opened it" in words_of(response)
    assert response.headers["HX-Retarget"] == "#notice"  # what Ann chose stays on the page
    assert [each.author for each in stored(workspace)] == ["Bea"] and journal(workspace) == []


def test_a_lease_that_expired_is_told_if_somebody_else_reads_the_text(ask, words_of, workspace):
    fields = form(as_author(ask, "Ann"), food="Positive")
    (workspace.state / LEASES).write_text("{}")  # five minutes later
    bea = as_author(ask, "Bea")
    assert field(bea, "key") == fields["key"]
    ask("POST", "/label/who", whole=True, data={"author": "Ann"})
    response = ask("POST", "/label", data=fields)
    assert response.status_code == 409 and "longer than five minutes, and Bea reads it now" in words_of(response)
    assert stored(workspace) == []
    (workspace.state / LEASES).write_text("{}")  # Bea went away, too
    assert ask("POST", "/label", data=fields).status_code == 200
    assert [each.state for each in stored(workspace)] == ["Positive"]


def test_labels_and_what_is_taken_back_are_in_the_journal(ask, words_of, workspace):
    page = as_author(ask, "Ann")
    key = field(page, "key")
    ask("POST", "/label", data=form(page, food="Positive", noise="cannot decide"))
    ask("POST", "/label", data={"action": "undo"})
    assert journal(workspace) == [
        ("label", "Ann", key, {"food": "Positive", "noise": None}),
        ("take back", "Ann", key, {"noise": None}),
    ]
    assert f"text {key} · states food Positive, noise cannot decide" in words_of(ask("GET", "/journal", whole=True))


def test_a_broken_journal_keeps_no_label(ask, words_of, workspace):
    page = as_author(ask, "Ann")
    ask("POST", "/label", data=form(page, food="Positive"))
    path = workspace.state / "workbench.jsonl"
    path.write_text(path.read_text().replace('"Ann"', '"Eve"') * 2)
    before = stored(workspace)
    page = ask("GET", "/label")
    for fields in (form(page, noise="loud"), {"action": "undo"}):
        response = ask("POST", "/label", data=fields)
        assert response.status_code == 422 and "does not follow the line before it" in words_of(response)
    assert stored(workspace) == before


def test_a_form_with_one_wrong_state_keeps_nothing_of_it(ask, workspace):
    page = as_author(ask, "Ann")
    assert ask("POST", "/label", data=form(page, food="Positive", noise="nice")).status_code == 422
    assert stored(workspace) == [] and not (workspace.state / "workbench.jsonl").exists()


def test_a_correction_that_is_a_label_says_so_in_the_journal(ask, workspace):
    fields = {"text": "the food was good", "read.food": "Positive", "set.food": "Negative", "author": "Ann"}
    ask("POST", "/corrections", data={**fields, "reason": "irony"})
    ask("POST", "/corrections", data={**fields, "reason": "irony", "as_label": "yes"})
    only, label = read_json_lines(workspace.state / "workbench.jsonl")
    assert "text" not in only and only["action"] == label["action"] == "correct"
    assert (label["text"], label["states"]) == (stored(workspace)[0].key, {"food": "Negative"})
