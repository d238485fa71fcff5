"""The list of texts: filters by hand, and the page that shows what they let through."""

import pandas as pd
import pytest

from sparsecbm.annotate.human_labels import HUMAN_FILE, Decision, append_decisions
from sparsecbm.annotate.labels import text_key
from sparsecbm.base.files import write_parquet
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from sparsecbm.workbench.slices import slice_scores
from sparsecbm.workbench.split_texts import SplitTexts, TextFilter, choose, human_states, slice_columns, wrong
from tests.support.served_model import running
from tests.support.tiny_tables import annotated
from tests.support.workbench_app import workbench_app

FRAME = pd.DataFrame(
    {
        "text": ["Good food", "good noise", "bad food", "nothing"],
        "group": ["a", "b", "c", "d"],
        "label": ["1", "2", "1", "2"],
        "confidence": [0.9, 0.4, 0.6, 0.3],
        "gold.label": ["1", "1", "1", None],
        "predicted.food": ["good", "bad", "bad", "bad"],
        "gold.food": ["good", "bad", "good", None],
        "slice.city": ["Bonn", "Kiel", "Bonn", "blank"],
        "disputed": [False, False, True, True],
    }
)


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        ({}, [0, 1, 2, 3]),
        ({"search": "GOOD"}, [0, 1]),
        ({"search": "good food"}, [0]),
        ({"search": "."}, []),
        ({"label": "2"}, [1, 3]),
        ({"concept": "food", "state": "bad"}, [1, 2, 3]),
        ({"kind": "wrong"}, [1, 2]),
        ({"kind": "misread"}, [2]),
        ({"kind": "unsure"}, [3, 1]),
        ({"kind": "disputed"}, [2, 3]),
        ({"kind": "wrong", "label": "1"}, [2]),
        ({"column": "city", "value": "Bonn"}, [0, 2]),
        ({"column": "city", "value": "Ulm"}, []),
    ],
)
def test_filters_let_through_what_they_say(wanted, rows):
    assert choose(FRAME, TextFilter(**wanted)).index.tolist() == rows


def test_a_text_without_labels_of_people_is_not_wrong():
    assert wrong(FRAME).tolist() == [False, True, True, False]


def test_states_of_machines_and_of_blank_cells_are_not_what_people_say(tmp_path):
    text = "the food was good"
    states = ["good", "bad", "unknown", None]
    frame = pd.DataFrame({"concept.food": states, "source.food": ["human", "embedding", "blank", "blank"]})
    assert human_states(frame, "food").fillna("").tolist() == ["good", "", "", ""]
    machine = annotated(2, 1).assign(text=[text, "another"])
    machine.loc[0, "source.noise"] = "embedding"
    workspace = Workspace(tmp_path)
    write_splits(workspace.annotated, {"test": machine}, {})
    said = SplitTexts(workspace).people_states(text)
    assert said == {"label": machine.loc[0, "label"], "food": machine.loc[0, "concept.food"]}


def test_a_slice_is_scored_by_what_people_say_the_worst_first():
    label, food = slice_scores(FRAME)  # of three texts with states of people, two labels and two foods are right
    assert [(each.name, each.texts, each.accuracy) for each in (label, food)] == [
        ("label", 3, pytest.approx(2 / 3)), ("food", 3, pytest.approx(2 / 3)),
    ]  # fmt: skip
    assert slice_scores(FRAME[:1])[0].accuracy == 1.0
    assert slice_scores(FRAME[1:3])[1].accuracy == 0.5
    assert slice_scores(FRAME[3:]) == []


def test_texts_of_one_group_are_drawn_together():
    frame = pd.concat([FRAME[:2]] * 50, ignore_index=True).assign(group=["a", "b"] * 50)
    alone = frame.assign(group=[str(row) for row in range(100)])
    assert slice_scores(frame)[0].interval == (0.0, 1.0)  # two groups, one of them wrong
    low, high = slice_scores(alone)[0].interval
    assert 0.35 < low < 0.45 and 0.55 < high < 0.65


def test_the_page_scores_the_slice_as_evaluate_does(ask, words_of, snapshot):
    gold = annotated(45, 2)
    right = [
        prediction.concepts["food"].state == state
        for prediction, state in zip(snapshot.model.predict(gold["text"].tolist()), gold["concept.food"], strict=True)
    ]
    assert f"food {sum(right) / 45:.1%}" in words_of(ask("GET", "/texts?split=test"))


def test_the_page_lists_a_split_and_goes_on(ask, words_of):
    first = ask("GET", "/texts", whole=True)
    assert "45 texts" in words_of(first) and first.text.count('name="text"') == 20  # `test` comes before `train`
    last = ask("GET", "/texts?split=test&page=2")
    assert last.text.count('name="text"') == 5 and 'value="3"' not in last.text
    assert "30 texts" in words_of(ask("GET", "/texts?split=train"))


def test_predictions_in_the_list_are_those_of_the_model(ask, words_of, snapshot):
    state = snapshot.model.predict(["the food was bad"])[0].concepts["food"].state
    page = ask("GET", f"/texts?state=food={state}")
    assert f"food {state}" in words_of(page)


def test_texts_that_people_label_otherwise_than_the_table_are_listed(ask, words_of, workspace):
    gold = annotated(45, 2)
    assert "0 texts" in words_of(ask("GET", "/texts?split=test&kind=disputed"))
    text, state = gold.loc[3, "text"], gold.loc[3, "concept.food"]
    other = next(name for name in ("Negative", "Positive") if name != state)
    decisions = [Decision(text_key(text), "food", each, author, "2026-12-01T08:00:00+00:00")
                 for author, each in (("Ada", state), ("Bea", other))]  # fmt: skip
    append_decisions(workspace.annotations / HUMAN_FILE, decisions[:1])
    assert "0 texts" in words_of(ask("GET", "/texts?split=test&kind=disputed"))
    append_decisions(workspace.annotations / HUMAN_FILE, decisions[1:])
    alike = int((gold["text"] == text).sum())
    page = ask("GET", "/texts?split=test&kind=disputed")
    assert f"{alike} text" in words_of(page) and text in words_of(page)


def test_columns_with_few_values_can_be_filtered():
    frame = pd.DataFrame(
        {
            "id": range(30), "text": [f"text {i}" for i in range(30)], "label": ["1", "2"] * 15,
            "edit_type": [None, "negated", "negated"] * 10, "file": ["reviews.csv"] * 30,
            "source.food": ["human", "llm"] * 15, "source.noise": [f"machine {i}" for i in range(30)],
        }
    )  # fmt: skip
    columns = slice_columns(frame, {"city": pd.Series(["Bonn", "Kiel"] * 15)})
    assert list(columns) == ["edit_type", "source.food", "city"]  # one file alone, and 30 machines, tell nothing
    assert columns["edit_type"].value_counts().to_dict() == {"negated": 20, "blank": 10}


def test_the_page_scores_a_subgroup(snapshot, workspace, folder, words_of):
    gold = annotated(45, 2)
    cities = ["Bonn" if row % 3 else "Kiel" for row in range(45)]
    write_parquet(workspace.subgroups, pd.DataFrame({"id": gold["id"], "subgroup.city": cities}))
    kiel = gold[[city == "Kiel" for city in cities]]
    predictions = snapshot.model.predict(kiel["text"].tolist())
    right = [each.label.state == label for each, label in zip(predictions, kiel["label"], strict=True)]
    with running(workbench_app(snapshot, workspace, folder.model)) as send:
        page = words_of(send("GET", "/texts?split=test&slice=city=Kiel"))
        assert "15 texts" in page and f"rating {sum(right) / 15:.1%}" in page and "city: Bonn" in page
        response = send("GET", "/texts?split=test&slice=town=Kiel")
    assert response.status_code == 422 and "unknown column 'town'" in words_of(response)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("split=tset", "Did you mean 'test'?"),
        ("kind=odd", "unknown kind"),
        ("slice=city=Kiel", "none to filter by"),
        ("page=-1", "page is '-1'"),
        ("state=fod=good", "Did you mean 'food'?"),
        ("state=food=nice", "unknown state of 'food'"),
    ],
)
def test_a_wrong_filter_is_told(ask, words_of, query, message):
    response = ask("GET", f"/texts?{query}")
    assert response.status_code == 422 and message in words_of(response)
