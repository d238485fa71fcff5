"""What annotators are given: texts, and labels of people on training splits alone."""

import pandas as pd
import pytest

from sparsecbm.annotate.annotator_input import read_annotator_input
from sparsecbm.annotate.human_labels import HUMAN_FILE, Decision, append_decisions
from sparsecbm.annotate.labels import text_key
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from tests.support.small_tables import CONCEPTS, good_rows

ALL = ConceptSet((*CONCEPTS.concepts, Concept("view", ("none", "sea"))), CONCEPTS.label)
AT = "2026-01-02T03:04:05Z"


def rows(*texts: str) -> pd.DataFrame:
    """Return rows with food in turn Negative, Positive and unknown, and nothing about the view."""
    frame = good_rows(len(texts)).assign(text=list(texts))
    frame = frame.assign(**{"concept.view": None, "source.view": "blank", "confidence.view": None})
    return frame.astype({"concept.view": "str", "confidence.view": "float64"})


def make_workspace(root, **splits: pd.DataFrame) -> Workspace:
    workspace = Workspace(root)
    write_splits(workspace.validated, splits, {"vocabulary": ALL.to_dict()})
    return workspace


def without(frame: pd.DataFrame, row: int, *concepts: str) -> pd.DataFrame:
    for name in concepts:
        frame.loc[row, [f"concept.{name}", f"source.{name}"]] = [None, "blank"]
    return frame


def test_evaluation_texts_come_only_where_people_labelled_them_and_without_labels(tmp_path):
    test = without(without(rows("E", "F", "G"), 0, "food", "price"), 2, "food", "price")
    workspace = make_workspace(tmp_path, train=rows("A", "B"), validation=rows("C", "D"), test=test)
    append_decisions(workspace.annotations / HUMAN_FILE, [Decision(text_key("G"), "view", "sea", "ann", AT)])
    task = read_annotator_input(workspace)
    assert task.texts["text"].tolist() == ["A", "B", "C", "D", "F", "G"]  # nobody labelled E
    evaluation = task.texts["split"] == "test"
    assert task.texts.loc[evaluation, "label"].isna().all() and task.texts.loc[~evaluation, "label"].notna().all()
    assert set(task.people["key"]) == {text_key(text) for text in "ABCD"}


def test_a_decision_on_a_text_counts_more_than_the_source(tmp_path):
    workspace = make_workspace(tmp_path, train=without(rows("A", "B", "C"), 1, "food"), validation=rows("D"))
    a, b, c, d = (text_key(text) for text in "ABCD")
    said = [
        Decision(a, "food", "unknown", "ann", AT),
        Decision(b, "view", "none", "ann", AT),
        Decision(c, "food", None, "ann", AT),  # it cannot be decided
        Decision(d, "parking", "easy", "ann", AT),  # no concept of the workspace
    ]
    append_decisions(workspace.annotations / HUMAN_FILE, said)
    people = read_annotator_input(workspace).people
    cells = dict(zip(zip(people["key"], people["concept"], strict=True), people["state"], strict=True))
    prices = {(key, "price"): state for key, state in zip((a, b, c, d), ("low", "high", "low", "low"), strict=True)}
    assert cells == {(a, "food"): "unknown", (b, "view"): "none", (d, "food"): "Negative", **prices}


def test_a_text_in_two_rows_is_one_text(tmp_path):
    task = read_annotator_input(make_workspace(tmp_path, train=rows("Same.", "Same.", "A")))
    assert task.texts["text"].tolist() == ["Same.", "A"]
    # The rows of "Same." contradict each other on food and on price, so they say nothing.
    assert set(task.people["key"]) == {text_key("A")} and task.people["concept"].tolist() == ["food", "price"]


def test_without_checked_texts_the_message_names_the_command(tmp_path):
    with pytest.raises(DataError, match="run `sparsecbm run validate` first"):
        read_annotator_input(Workspace(tmp_path))
