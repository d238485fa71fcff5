"""Probabilities as rows of a table of labels."""

import json

import numpy as np
import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.label_rows import Origin, learnt_from, state_rows
from sparsecbm.annotate.labels import label_table
from sparsecbm.annotate.people import nobody

FOOD = ConceptDefinition("food", "", {"bad": "x", "good": "y"})


def test_a_text_below_the_least_confidence_keeps_its_probabilities_but_gets_no_state():
    probabilities = np.array([[0.25, 0.75], [0.45, 0.55], [np.nan, np.nan]])
    rows = state_rows(pd.Series(["a", "b", "c"]), FOOD, probabilities, 0.6, Origin("encoder", "version"))
    labels = label_table(rows)
    assert labels["state"].fillna("").tolist() == ["good", "", ""]
    assert labels["confidence"].tolist()[:2] == [0.75, 0.55]
    assert labels["confidence"].isna().tolist() == [False, False, True]
    assert json.loads(labels["probabilities"][1]) == {"bad": 0.45, "good": 0.55}
    assert labels["probabilities"].isna().tolist() == [False, False, True]
    assert set(labels["definition"]) == {FOOD.hash}
    assert set(labels["prompt"]) == {"version"}


def test_of_two_states_that_are_as_probable_none_is_taken():
    probabilities = np.array([[0.5, 0.5], [0.5 - 1e-9, 0.5 + 1e-9], [0.49, 0.51]])
    labels = label_table(state_rows(pd.Series(["a", "b", "c"]), FOOD, probabilities, 0.0, Origin("encoder", "version")))
    assert labels["state"].fillna("").tolist() == ["", "", "good"]


def test_what_was_learnt_from_tells_other_labels_apart_but_not_their_order():
    one = pd.DataFrame({"key": ["a", "b"], "concept": "food", "state": ["bad", "good"]})
    assert learnt_from("1", one) == learnt_from("1", one.iloc[::-1])
    assert (
        len({learnt_from("1", one), learnt_from("2", one), learnt_from("1", one[:1]), learnt_from("1", nobody())}) == 4
    )
