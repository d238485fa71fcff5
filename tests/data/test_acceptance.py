"""What a table must be for training, and that all its faults come in one message."""

import pytest

from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.data.acceptance import accepted_splits
from sparsecbm.data.sources.registry import load_with_faults
from sparsecbm.data.validation import validate
from tests.support.data_workspace import make_workspace, source_rows


def accept(root, rows, **changes):
    params, workspace = make_workspace(root, rows, **changes)
    return accepted_splits(load_with_faults(params.source, workspace.root), params)


def spoiled(**columns):
    """Rows of which each named column has the value that its function gives for a row's number."""
    return [row | {name: make(n) for name, make in columns.items()} for n, row in enumerate(source_rows())]


def test_a_good_table_is_divided(tmp_path):
    assert {name: len(part) for name, part in accept(tmp_path, source_rows()).items()} == {
        "train": 42,
        "validation": 6,
        "test": 12,
    }


def test_all_faults_of_columns_and_rows_come_in_one_message(tmp_path):
    rows = spoiled(
        stars=lambda n: f"{n}.{n:03d}", f=lambda n: "", p=lambda n: ("low", "Low", "high")[n % 3], comment=lambda n: " "
    )
    rows[0]["comment"] = "a soup"
    with pytest.raises(DataError) as caught:
        accept(tmp_path, rows)
    message = str(caught.value)
    assert "column 'stars': it has 60 different values in 60 rows ('0.000', '1.001', '2.002', ...)" in message
    assert "column 'concept.food': concept 'food' is empty in all 60 rows" in message
    assert "column 'p': these states look alike: 'Low', 'low'" in message
    assert 'set source.columns.concepts.price.states: ["Low", "high"]' in message
    assert "59 of 60 rows are bad" in message


def test_an_empty_column_is_refused_whether_its_states_are_named_or_not(tmp_path):
    for column in ("f", "p", "stars"):
        with pytest.raises(DataError, match=r"empty in (all|every)"):
            accept(tmp_path, spoiled(**{column: lambda n: ""}))


@pytest.mark.parametrize("blank", ["leave_out", "unknown"])
def test_a_concept_that_has_one_state_where_it_has_any_is_refused(tmp_path, blank):
    rows = spoiled(f=lambda n: "Positive" if n % 2 else "")
    annotate = {"annotators": ["human"], "blank": blank}
    if blank == "unknown":  # then the empty cells are a second state
        assert accept(tmp_path, rows, annotate=annotate)
    else:
        with pytest.raises(DataError, match=r"'food' is 'Positive' in all but 30, where it is empty, of 60 rows"):
            accept(tmp_path, rows, annotate=annotate)


def test_empty_cells_need_the_state_unknown_under_that_policy(tmp_path):
    rows = spoiled(p=lambda n: "" if n < 3 else ("low", "high")[n % 2])
    with pytest.raises(ConfigError, match=r"3 cell\(s\) of concept 'price' are empty"):
        accept(tmp_path, rows, annotate={"annotators": ["human"], "blank": "unknown"})
    assert accept(tmp_path, rows)  # by default they are left out


def test_spellings_of_a_named_state_are_that_state(tmp_path):
    rows = spoiled(f=lambda n: ("Negative", " positive", "UNKNOWN")[n % 3])
    train = accept(tmp_path, rows)["train"]
    assert set(train["concept.food"]) == {"Negative", "Positive", "unknown"}


def test_short_reviews_that_are_the_same_do_not_refuse_a_table(tmp_path):
    rows = spoiled(comment=lambda n: "Great!" if n % 5 == 0 else f"the soup of table {n} was fine")
    params, _ = make_workspace(tmp_path, rows)
    splits = accept(tmp_path, rows)
    table = load_with_faults(params.source, tmp_path)
    result = validate(splits, table.concept_set, params.validate_)
    copies = sum(frame["text"].eq("Great!").sum() for name, frame in splits.items() if name != "test")
    kept = sum(frame["text"].eq("Great!").sum() for name, frame in result.splits.items() if name != "test")
    assert result.refusal is None and copies > 5 and kept == 0  # the copies in test are kept
    assert len(result.quarantine) == copies
