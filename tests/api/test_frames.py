"""Data frames of users become annotated tables, and faults name the column and the row."""

import numpy as np
import pandas as pd
import pytest

from sparsecbm.api.frames import annotated_table, concept_columns, learn_concepts, split_validation, to_frame
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import ConfigError, DataError

FRAME = pd.DataFrame(
    {
        "body": ["good food", "bad food", "loud place", "good and quiet"],
        "stars": [5, 1, 10, 5],
        "food": ["Positive", "Negative", None, "Positive"],
        "noise": [np.nan, 0.0, 1.0, 0.0],
    },
    index=["a", "b", "c", "d"],
)
CONCEPTS = ConceptSet(
    (Concept("food", ("Negative", "Positive")), Concept("noise", ("0", "1"))), Concept("stars", ("1", "5", "10"))
)


def test_states_are_learnt_from_the_data_numbers_by_size_and_words_by_the_alphabet():
    assert learn_concepts(FRAME, "body", "stars", ["food", "noise"]) == CONCEPTS


def test_given_states_keep_their_order_and_may_be_numbers():
    given = learn_concepts(FRAME, "body", "stars", {"food": ["Positive", "Negative"], "noise": [1, 0]}, [10, 5, 1])
    assert given["food"].states == ("Positive", "Negative")
    assert given["noise"].states == ("1", "0") and given.label.states == ("10", "5", "1")


@pytest.mark.parametrize(
    ("concepts", "columns"),
    [
        ("food", {"food": None}),
        (["food", "noise"], {"food": None, "noise": None}),
        ({"noise": [0, 1]}, {"noise": ("0", "1")}),
    ],
)
def test_one_name_is_one_concept(concepts, columns):
    assert concept_columns(concepts) == columns


def test_cells_become_text_and_empty_ones_stay_empty():
    table = annotated_table(FRAME, CONCEPTS, "body")
    assert table["text"].tolist() == FRAME["body"].tolist()
    assert table["label"].tolist() == ["5", "1", "10", "5"]
    assert table["concept.noise"].tolist()[1:] == ["0", "1", "0"] and table["concept.noise"].isna().tolist()[0]
    assert table["source.food"].tolist() == ["human", "human", "blank", "human"]


def test_a_mapping_and_a_dataset_are_frames_too():
    class Dataset:
        def to_pandas(self):
            return FRAME

    assert to_frame(Dataset()) is FRAME
    assert to_frame({"text": ["a"], "label": [1]}).equals(pd.DataFrame({"text": ["a"], "label": [1]}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1, 2], "expected a pandas DataFrame or a datasets.Dataset, not list"),
        (FRAME.head(0), "the data frame has no rows"),
        (
            FRAME.drop(columns="noise"),
            r"no column 'noise'; it has body, stars, food\. Pass the right names as text=, la",
        ),
        (FRAME.assign(body=["a", " ", "b", None]), r"column 'body': 2 row\(s\) have no text, the first is row 'b'"),
        (FRAME.assign(food=["Positive", "postive", None, "Negative"]), "column 'food', row 'b': unknown state 'post"),
        (FRAME.assign(stars=[5, 1, 10, 4]), "column 'stars', row 'd': unknown state '4'; the states are 1, 5, 10"),
        (FRAME.assign(noise=[[1], 0, 1, 0]), "row 'a': column 'noise' holds a list, not text"),
    ],
)
def test_faults_name_the_column_and_the_row(data, message):
    with pytest.raises(DataError, match=message):
        annotated_table(data, CONCEPTS, "body")


def test_no_concept_is_an_error_with_an_example():
    with pytest.raises(ConfigError, match=r"name at least one concept, such as concepts=\['food', 'service'\]"):
        learn_concepts(FRAME, "body", "stars", [])


def test_no_group_lies_in_both_parts():
    frame = pd.concat([FRAME] * 10, ignore_index=True).assign(review=[i // 4 for i in range(40)])
    training, held_out = split_validation(annotated_table(frame, CONCEPTS, "body", "review"), 0.2, seed=3)
    assert len(training) == 32 and len(held_out) == 8
    assert set(training["group"]).isdisjoint(held_out["group"])


def test_a_share_that_leaves_a_part_empty_is_refused():
    with pytest.raises(DataError, match=r"validation=0.01 of 4 rows in 4 groups leaves one part empty"):
        split_validation(annotated_table(FRAME, CONCEPTS, "body"), 0.01, seed=0)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["x", "x", None, "x"], "column 'food': it has only the state 'x'; two are needed"),
        ([None] * 4, "column 'food': it has no state; two are needed"),
    ],
)
def test_a_column_that_never_varies_is_refused(column, message):
    with pytest.raises(DataError, match=message):
        learn_concepts(FRAME.assign(food=column), "body", "stars", ["food", "noise"])


def test_scores_are_no_categories_but_given_states_are_kept():
    frame = pd.DataFrame({"text": ["a"] * 100, "label": [0, 1] * 50, "score": [i / 4 for i in range(25)] * 4})
    with pytest.raises(DataError, match=r"column 'score': 25 different values in 100 rows are no categories; group th"):
        learn_concepts(frame, "text", "label", "score")
    states = sorted(set(frame["score"]))
    assert len(learn_concepts(frame, "text", "label", {"score": states})["score"]) == 25
    assert len(learn_concepts(pd.concat([frame] * 2), "text", "label", "score")["score"]) == 25, "8 rows for each"
