import pandas as pd
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.data.schemas import AnnotatedTable, ExplanationTable, PredictionTable, RawTable, check, failures, schema
from tests.support.small_tables import CONCEPTS, good_rows


def list_failures(frame, model=RawTable, max_words=None) -> list[tuple]:
    """Return row, column and check of each failure."""
    cases = failures(frame, schema(model, CONCEPTS, max_words), "t")
    return sorted((case.index, case.column, case.check) for case in cases.itertuples(index=False))


def predictions() -> pd.DataFrame:
    frame = pd.DataFrame({"id": ["a", "b"], "text": ["x", "y"], "label": ["1", "3"], "confidence": [0.5, 0.9]})
    for state in CONCEPTS.label.states:
        frame[f"probability.{state}"] = [0.5, 0.25]
    for concept in CONCEPTS:
        frame[f"concept.{concept.name}"] = concept.states[0]
        frame[f"concept_confidence.{concept.name}"] = 0.7
    return frame


def explanations() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["a", "a"],
            "concept": ["food", "price"],
            "state": ["Positive", "low"],
            "method": "integrated_gradients",
            "word": ["nice", "soup"],
            "start": [0, 5],
            "end": [4, 9],
            "attribution": [0.3, -0.1],
        }
    )


def test_good_tables_have_no_failures():
    rows = good_rows(6)
    assert (
        list_failures(rows) == []
        and list_failures(rows, AnnotatedTable) == []
        and list_failures(rows, max_words=8) == []
    )
    assert list_failures(predictions(), PredictionTable) == [] and list_failures(explanations(), ExplanationTable) == []


def test_labels_and_states_may_be_missing_and_ids_and_texts_may_not():
    rows = good_rows(4)
    rows.loc[0, ["label", "concept.food", "confidence.food"]] = None
    assert list_failures(rows) == []
    rows.loc[1, ["id", "text"]] = None
    assert list_failures(rows) == [(1, "id", "missing"), (1, "text", "missing")]


def test_each_cell_check_finds_its_cell_and_no_other():
    rows = good_rows(6)
    rows.loc[0, "text"] = " \n\t"
    rows.loc[1, "text"] = "one two three four five six seven eight nine"  # one word more than allowed
    rows.loc[2, "text"] = "lost \ufffd here"
    rows.loc[3, "label"] = "4"
    rows.loc[4, "concept.price"] = "Low"
    rows.loc[5, "confidence.food"] = 1.5
    assert list_failures(rows, max_words=8) == [
        (0, "text", "empty"),
        (1, "text", "overlong"),
        (2, "text", "damaged"),
        (3, "label", "unknown state"),
        (4, "concept.price", "unknown state"),
        (5, "confidence.food", "less_than_or_equal_to(1)"),
    ]
    assert (1, "text", "overlong") not in list_failures(rows, max_words=9)


def test_annotated_rows_are_unique_and_name_the_source_of_each_cell():
    rows = good_rows(4)
    rows.loc[3, "id"] = rows.loc[0, "id"]
    rows.loc[1, "source.food"] = None
    assert list_failures(rows) == []
    assert list_failures(rows, AnnotatedTable) == [
        (0, "id", "field_uniqueness"),
        (1, "source.food", "missing"),
        (3, "id", "field_uniqueness"),
    ]


@pytest.mark.parametrize("column", ["text", "label", "concept.food", "source.price", "row"])
def test_an_absent_column_is_a_structural_failure(column):
    with pytest.raises(DataError, match=rf"t has no column '{column}'; it has \['id'|t has no column '{column}'"):
        list_failures(good_rows(3).drop(columns=column))


@pytest.mark.parametrize(
    ("column", "cells"), [("text", [1, 2, 3]), ("row", ["1", "2", "3"]), ("concept.food", [0.5] * 3)]
)
def test_a_column_of_the_wrong_type_is_a_structural_failure(column, cells):
    with pytest.raises(DataError, match=f"t: '{column}' must be dtype.*convert the column at its source"):
        list_failures(good_rows(3).assign(**{column: cells}))


def test_predictions_need_every_probability_in_range():
    with pytest.raises(DataError, match=r"has no column 'probability\.3'"):
        list_failures(predictions().drop(columns="probability.3"), PredictionTable)
    frame = predictions()
    frame.loc[1, "probability.2"] = -0.1
    frame.loc[0, "concept.food"] = "good"
    assert list_failures(frame, PredictionTable) == [
        (0, "concept.food", "unknown state"),
        (1, "probability.2", "greater_than_or_equal_to(0)"),
    ]


def test_explanations_need_known_concepts_and_spans_in_order():
    frame = explanations()
    frame.loc[0, "concept"] = "fod"
    assert list_failures(frame, ExplanationTable) == [(0, "concept", "unknown state")]
    frame = explanations()
    frame.loc[1, "end"] = 4
    assert {case[0] for case in list_failures(frame, ExplanationTable)} == {1}


def test_check_names_the_table_and_the_first_fault():
    rows = good_rows(3)
    check(rows, RawTable, CONCEPTS, "split 'dev'")
    rows.loc[2, "label"] = "9"
    with pytest.raises(
        DataError, match=r"split 'dev' breaks RawTable in 1 cell\(s\):\n  row 3, column 'label': unknown state"
    ):
        check(rows, RawTable, CONCEPTS, "split 'dev'")
