import pandas as pd
import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.data.blanks import fill_blanks
from sparsecbm.data.schemas import AnnotatedTable, check
from tests.support.small_tables import CONCEPTS, good_rows


def rows() -> pd.DataFrame:
    """Return three rows whose food is annotated, blank, and without a majority."""
    frame = good_rows(3)
    frame.loc[1, ["concept.food", "source.food"]] = [None, "blank"]
    frame.loc[2, ["concept.food", "source.food"]] = [None, "no majority"]
    frame["confidence.food"] = [0.8, None, None]
    return frame


@pytest.mark.parametrize(
    ("blank", "states"), [("unknown", ["Negative", "unknown", None]), ("leave_out", ["Negative", None, None])]
)
def test_the_policy_fills_blank_cells_and_nothing_else(blank, states):
    before = rows()
    after = fill_blanks(before, CONCEPTS, blank)
    assert [None if pd.isna(state) else state for state in after["concept.food"]] == states
    assert after["source.food"].tolist() == ["human", "blank", "no majority"]
    same = [column for column in before if column != "concept.food"]
    pd.testing.assert_frame_equal(after[same], before[same])
    pd.testing.assert_frame_equal(before, rows())  # the input does not change
    check(after, AnnotatedTable, CONCEPTS, "after")


def test_a_cell_without_a_source_gets_a_source():
    frame = rows()
    frame["source.food"] = pd.Series([None, None, "no majority"], dtype="str")
    assert fill_blanks(frame, CONCEPTS, "leave_out")["source.food"].tolist() == [
        "human",
        "blank",
        "no majority",
    ]


def test_a_cell_from_a_machine_keeps_the_name_of_its_annotator():
    frame = rows().assign(**{"source.price": "machine"})
    assert fill_blanks(frame, CONCEPTS, "unknown")["source.price"].tolist() == ["machine"] * 3


def test_a_second_annotation_changes_nothing():
    once = fill_blanks(rows(), CONCEPTS, "unknown")
    pd.testing.assert_frame_equal(fill_blanks(once, CONCEPTS, "unknown"), once)


def test_the_error_for_a_concept_without_unknown_names_the_choices():
    frame = good_rows(4)
    fill_blanks(frame, CONCEPTS, "unknown")  # no `price` is blank, so it needs no state unknown
    frame.loc[[0, 2], ["concept.price", "source.price"]] = [None, "blank"]
    with pytest.raises(
        ConfigError,
        match=r"2 cell\(s\) of concept 'price' are empty.*\(it has low, high\).*Choices: unknown, leave_out",
    ):
        fill_blanks(frame, CONCEPTS, "unknown")
    assert fill_blanks(frame, CONCEPTS, "leave_out")["concept.price"].isna().sum() == 2
