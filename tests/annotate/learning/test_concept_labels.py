"""Which texts people labelled, and whether that is enough."""

import pandas as pd
import pytest

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.learning.concept_labels import find_labels

FOOD = ConceptDefinition("food", "", {"bad": "x", "good": "y", "unknown": "z"})
TEXTS = pd.DataFrame({"key": [f"k{i}" for i in range(12)], "group": [f"g{i}" for i in range(12)]})


def people(*states: str | None, concept: str = "food") -> pd.DataFrame:
    """Labels of the first texts."""
    return pd.DataFrame({"key": [f"k{i}" for i in range(len(states))], "concept": concept, "state": states})


def test_labels_become_positions_and_states():
    given = pd.concat([people("good", None, "bad"), people("bad", concept="noise")])
    elsewhere = pd.DataFrame({"key": ["other"], "concept": "food", "state": "bad"})
    found = find_labels(TEXTS.iloc[::-1].reset_index(drop=True), pd.concat([given, elsewhere]), FOOD)
    assert found.known.tolist() == [9, 11]  # the texts are in reverse order: k2, then k0
    assert found.states.tolist() == [0, 1]
    assert found.groups.tolist() == ["g2", "g0"]


@pytest.mark.parametrize(
    ("states", "fault"),
    [
        (["good"] * 5 + ["bad"] * 5, None),
        (["good"] * 9, "concept 'food' has 9 label(s) of people, and 10 are needed"),
        (["good"] * 12, "people gave 0 'bad', 12 'good', 0 'unknown'; two states need 2 texts each"),
        (["good"] * 11 + ["bad"], "people gave 1 'bad', 11 'good', 0 'unknown'; two states need 2 texts each"),
    ],
)
def test_the_fault_of_labels_names_what_is_missing(states, fault):
    told = find_labels(TEXTS, people(*states), FOOD).fault(FOOD)
    assert told is None if fault is None else fault in told


def test_labels_of_one_group_are_not_enough():
    found = find_labels(TEXTS.assign(group="g"), people(*["good"] * 6 + ["bad"] * 6), FOOD)
    assert "all labels of people are of one group" in found.fault(FOOD)
