"""Labels of people: decisions win over the cells of the source."""

import pandas as pd

from sparsecbm.annotate.human_labels import Decision, current_labels
from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.people import apply_decisions, known_decisions, labels_of_people
from tests.support.small_tables import CONCEPTS, good_rows


def decisions(*cells: tuple[str, str, str | None, str]) -> pd.DataFrame:
    """Decisions as (text, concept, state, author)."""
    return current_labels(
        Decision(text_key(text), concept, state, author, "2026-01-01T00:00:00Z")
        for text, concept, state, author in cells
    )


def test_a_decision_replaces_a_cell_and_shares_and_an_undecided_cell_is_empty():
    frame = good_rows(4)
    frame["share.food.Negative"], frame["share.food.Positive"], frame["share.food.unknown"] = 0.6, 0.4, 0.0
    texts = frame["text"].tolist()
    made = decisions(
        (texts[0], "food", "Positive", "ann"),
        (texts[0], "food", "Positive", "bob"),
        (texts[0], "food", "unknown", "eve"),
        (texts[1], "food", None, "ann"),
        (texts[2], "price", "high", "ann"),
        ("a text of another table", "food", "Negative", "ann"),
    )
    changed = apply_decisions(frame, made, CONCEPTS)
    assert changed["concept.food"].fillna("").tolist() == ["Positive", "", "unknown", "Negative"]
    assert changed["source.food"].tolist() == ["human", "undecided", "human", "human"]
    assert changed["confidence.food"].iloc[0] == 2 / 3 and changed["confidence.food"].iloc[1:].isna().all()
    assert changed["share.food.Negative"].isna().tolist() == [True, True, False, False]
    assert changed["concept.price"].tolist() == ["low", "high", "high", "high"]
    assert frame["concept.food"].tolist() == ["Negative", "Positive", "unknown", "Negative"]  # a copy was changed


def test_without_decisions_a_table_stays_the_same_object():
    frame = good_rows(2)
    assert apply_decisions(frame, current_labels([]), CONCEPTS) is frame


def test_decisions_that_an_edited_definition_left_behind_are_told_apart():
    made = decisions(
        ("a", "food", "Positive", "x"),
        ("b", "food", "tasty", "x"),
        ("c", "view", "good", "x"),
        ("d", "food", None, "x"),
    )
    known, others = known_decisions(made, CONCEPTS)
    assert sorted(known["key"]) == sorted([text_key("a"), text_key("d")])
    assert sorted(others["key"]) == sorted([text_key("b"), text_key("c")])


def test_people_speak_once_for_each_text_and_a_contested_text_is_left_out():
    train, test = good_rows(3), good_rows(2, "b")
    train["text"] = ["same", "same", "other"]  # food: Negative, Positive, unknown; price: low, high, low
    test.loc[0, ["concept.food", "source.food"]] = [None, "blank"]
    test.loc[1, "source.food"] = "generated"
    people = labels_of_people({"train": train, "test": test}, CONCEPTS)
    cells = {(row.key, row.concept): (row.state, row.split) for row in people.itertuples()}
    assert cells == {
        (text_key("other"), "food"): ("unknown", "train"),
        (text_key("other"), "price"): ("low", "train"),
        (text_key(test["text"][0]), "price"): ("low", "test"),
        (text_key(test["text"][1]), "price"): ("high", "test"),
    }
