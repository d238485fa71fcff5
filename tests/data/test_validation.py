import pandas as pd
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.data.validation import validate
from sparsecbm.report.validation_page import validation_page
from tests.support.small_tables import CONCEPTS, MANIFEST, good_splits, limits


def spoiled(**cells) -> dict[str, pd.DataFrame]:
    """Return good splits with the cells `split__row__column=value`; `__` in a column name stands for a dot."""
    splits = good_splits()
    for key, value in cells.items():
        split, row, column = key.split("__", 2)
        splits[split].loc[int(row), column.replace("__", ".")] = value
    return splits


def bad(splits, **changes) -> list[tuple[str, int, str]]:
    """Return split, row number and reasons of every quarantined row."""
    quarantine = validate(splits, CONCEPTS, limits(**changes)).quarantine
    return list(quarantine[["split", "row", "reasons"]].itertuples(index=False, name=None))


def warned(splits, **changes) -> list[tuple[str, str, int | None]]:
    report = validate(splits, CONCEPTS, limits(**changes)).report
    return [(warning["code"], warning["split"], warning.get("rows")) for warning in report["warnings"]]


def test_good_rows_pass_unchanged_without_warnings():
    splits = good_splits()
    result = validate(splits, CONCEPTS, limits(quarantine_share=0))
    assert result.refusal is None and result.report["accepted"] and len(result.quarantine) == 0
    assert result.report["warnings"] == [] and result.report["reasons"] == {}
    assert result.report["rows"]["test"] == {"in": 6, "out": 6, "quarantined": 0}
    for name, frame in splits.items():
        pd.testing.assert_frame_equal(result.splits[name], frame)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"train__1__text": None}, "missing: column 'text' is missing"),
        ({"train__1__text": "  "}, "empty: text is white space"),
        ({"train__1__text": "w " * 51}, "overlong: text has 51 words, more than 50"),
        ({"train__1__text": "a \x00 b"}, "damaged: text holds replacement or control characters"),
        ({"train__1__id": None}, "missing: column 'id' is missing"),
        (
            {"train__1__label": "11"},
            "unknown state: unknown state of the label 'rating' '11'. Did you mean '1'? Choices: 1, 2, 3",
        ),
        (
            {"train__1__concept__food": "postive"},
            "unknown state: unknown state of 'food' 'postive'. Did you mean 'Positive'? "
            "Choices: Negative, Positive, unknown",
        ),
        ({"train__1__id": "train0"}, "repeated id: id 'train0' is taken by small.csv, row 1 (split train)"),
        ({"train__1__id": "test4"}, "repeated id: id 'test4' is taken by small.csv, row 5 (split test)"),
        ({"train__1__group": "test4"}, "straddling group: group 'test4' also lies in small.csv, row 5 (split test)"),
        (
            {"train__1__text": "The  SOUP of table train 0 was fine"},
            "repeated text: text repeats small.csv, row 1 (split train)",
        ),
        (
            {"train__1__text": "\ufeffthe so\u200bup of\u00a0table tra\u00adin 0 was ﬁne"},
            "repeated text: text repeats small.csv, row 1 (split train)",
        ),
        ({"train__1__text": "\u200b \u2060"}, "empty: text is white space"),
        (
            {"train__1__text": "the soup of table validation 3 was fine"},
            "repeated text: text repeats small.csv, row 4 (split validation)",
        ),
    ],
)
def test_a_bad_row_goes_to_quarantine_with_its_reason(cells, reason):
    assert bad(spoiled(**cells)) == [("train", 2, reason)]


def test_a_row_with_two_faults_has_two_reasons_and_counts_under_both():
    splits = spoiled(train__1__text="", train__1__label="x")
    assert len(bad(splits)) == 1
    result = validate(splits, CONCEPTS, limits())
    assert result.report["reasons"] == {"train": {"empty": 1, "unknown state": 1}}
    assert result.report["rows"]["train"] == {"in": 6, "out": 5, "quarantined": 1}


def test_a_fault_of_the_source_becomes_a_reason_and_its_column_goes():
    splits = good_splits()
    splits["test"]["fault"] = pd.Series([None, None, "column 'c' holds 5 (int), not text"] + [None] * 3, dtype="str")
    splits["test"].loc[2, "text"] = None
    assert bad(splits) == [("test", 3, "wrong type: column 'c' holds 5 (int), not text")]
    result = validate(splits, CONCEPTS, limits())
    assert all("fault" not in frame for frame in [*result.splits.values(), result.quarantine])


def test_what_is_no_state_is_named_with_its_own_column_and_a_remedy():
    splits = good_splits()
    fault = "column 'how was it' holds nan, which is no state"
    splits["test"]["fault"] = pd.Series([None, None, fault] + [None] * 3, dtype="str")
    assert bad(splits) == [("test", 3, f"no state: {fault}")]
    refusal = validate(splits, CONCEPTS, limits(quarantine_share=0)).refusal
    assert "column 'how was it': no state in 1 row(s)" in refusal
    assert refusal.endswith("Remedy: leave the cell empty, or name the state under source.columns")


def test_a_text_in_several_splits_stays_only_in_the_most_important_one():
    text = "the same everywhere"
    splits = spoiled(train__0__text=text, validation__0__text=text, test__0__text=text)
    assert [(split, row) for split, row, _ in bad(splits)] == [("train", 1), ("validation", 1)]
    splits = spoiled(train__0__id="x", validation__0__id="x")
    assert [(split, row) for split, row, _ in bad(splits)] == [("train", 1)]
    splits = spoiled(validation__0__group="g", test__0__group="g", test__1__group="g")
    assert [(split, row) for split, row, _ in bad(splits)] == [("validation", 1)]


def test_a_repeat_within_a_group_is_only_a_warning():
    text = {"train__2__text": "again", "train__4__text": "Again"}
    splits = spoiled(**text, train__2__group="g", train__4__group="g")
    assert bad(splits) == [] and warned(splits) == [("repeated text in a group", "train", 1)]
    assert [row for _, row, _ in bad(spoiled(**text))] == [5]  # a repeat in two groups is bad


def test_evaluation_splits_stay_whole_when_texts_repeat():
    splits = spoiled(test__2__text="again", test__4__text="again")
    assert bad(splits) == [] and warned(splits) == [("repeated text in evaluation", "test", 1)]
    assert len(bad(spoiled(test__2__id="x", test__4__id="x"))) == 1  # an id must be unique everywhere


def test_a_group_in_two_evaluation_splits_is_a_warning_in_both():
    splits = good_splits() | {"dev": good_splits()["test"].assign(id=[f"d{i}" for i in range(6)])}
    splits["dev"]["text"] = [f"another text {i}" for i in range(6)]
    splits["dev"].loc[2:, "group"] = [f"d{i}" for i in range(2, 6)]
    assert bad(splits) == [] and warned(splits) == [("shared group", "test", 2), ("shared group", "dev", 2)]


def test_a_quarantined_row_does_not_count_as_a_copy():
    # The copy in test has another fault, so the row in train no longer counts as a copy.
    splits = spoiled(test__0__text="again", test__0__label="x", train__0__text="again")
    assert [(split, row) for split, row, _ in bad(splits)] == [("test", 1)]


def test_warnings_on_decoding_and_language_name_the_rows():
    splits = spoiled(train__0__text="the cafÃ© was nice", test__1__text="Еда была очень вкусной")
    assert bad(splits) == []
    report = validate(splits, CONCEPTS, limits()).report
    places = {warning["code"]: warning["examples"] for warning in report["warnings"]}
    assert places == {"decoding": ["small.csv, row 1"], "language": ["small.csv, row 2"]}


def test_balance_counts_states_and_warns_about_rare_ones():
    splits = spoiled(train__0__label=None, train__3__label=None)  # the two rows with label 1
    report = validate(splits, CONCEPTS, limits()).report
    assert report["balance"]["train"]["label"] == {"states": {"1": 0, "2": 2, "3": 2}, "missing": 2}
    assert [warning["message"] for warning in report["warnings"]] == [
        "label 'rating' has states below 2.0% of train: '1' 0.0%"
    ]
    assert len(warned(good_splits(), min_state_share=0.34)) == 6  # a third each of food and rating, in three splits
    splits = good_splits()
    splits["test"]["concept.food"] = pd.Series([None] * 6, dtype="str")
    messages = [warning["message"] for warning in validate(splits, CONCEPTS, limits()).report["warnings"]]
    assert messages == ["concept 'food' has no state in any row of test"]


@pytest.mark.parametrize(("blank_is_state", "messages"), [
    (True, []), (False, ["concept 'food' has states below 2.0% of train: 'unknown' 0.0%"]),
])  # fmt: skip
def test_an_empty_cell_that_becomes_unknown_counts_as_unknown(blank_is_state, messages):
    splits = good_splits()
    food = splits["train"]["concept.food"]
    splits["train"]["concept.food"] = food.mask(food == "unknown")
    warnings = validate(splits, CONCEPTS, limits(), blank_is_state).report["warnings"]
    assert [warning["message"] for warning in warnings] == messages


def test_word_counts_are_summarised():
    splits = spoiled(test__0__text="one", test__1__text="one two three")
    # The other four have eight words.
    assert validate(splits, CONCEPTS, limits()).report["words"]["test"] == {
        "min": 1,
        "median": 8.0,
        "p95": 8.0,
        "max": 8,
    }


def test_the_error_above_the_allowed_share_names_file_column_and_remedy():
    splits = spoiled(train__1__text=" ", test__0__label="x")
    assert validate(splits, CONCEPTS, limits(quarantine_share=2 / 18)).refusal is None
    result = validate(splits, CONCEPTS, limits(quarantine_share=0.11))
    assert not result.report["accepted"]
    assert result.refusal == (
        "2 of 18 rows are bad (11.1%), more than validate.quarantine_share allows (11.0%):\n"
        "  small.csv, column 'text': empty in 1 row(s); row 2: text is white space. "
        "Remedy: fill in the text, or remove the row\n"
        "  small.csv, column 'label': unknown state in 1 row(s); row 1: unknown state of the label 'rating' 'x'. "
        "Choices: 1, 2, 3. Remedy: correct the spelling, or add the state under source.columns"
    )


def test_a_split_with_only_quarantined_rows_is_an_error():
    splits = good_splits()
    splits["test"] = splits["test"].head(1).assign(text=" ")
    assert "no row is left in 'test'" in validate(splits, CONCEPTS, limits()).refusal


def test_a_table_with_only_bad_rows_is_an_error_with_a_complete_report():
    splits = {name: frame.assign(text=" ") for name, frame in good_splits().items()}
    result = validate(splits, CONCEPTS, limits())
    assert result.refusal.startswith("18 of 18 rows are bad (100.0%)") and len(result.quarantine) == 18
    assert result.report["rows"]["train"] == {"in": 6, "out": 0, "quarantined": 6}
    assert "18 of 18 rows are bad" in validation_page(result, MANIFEST)


def test_an_empty_split_is_a_structural_failure():
    splits = good_splits()
    splits["test"] = splits["test"].head(0)
    with pytest.raises(DataError, match=r"split 'test' has no rows"):
        validate(splits, CONCEPTS, limits())


def test_a_constant_label_or_concept_is_a_structural_failure():
    splits = good_splits()
    splits["train"]["concept.price"] = "low"
    with pytest.raises(
        DataError, match=r"small\.csv, column 'concept\.price': concept 'price' is 'low' in all 6 training"
    ):
        validate(splits, CONCEPTS, limits())
    splits["train"].loc[0, "concept.price"] = None  # an empty cell can still become `unknown`
    assert validate(splits, CONCEPTS, limits()).refusal is None


def test_a_label_or_concept_without_a_state_in_training_is_a_structural_failure():
    splits = good_splits()
    splits["train"]["concept.price"] = pd.Series([None] * 6, dtype="str")
    splits["train"]["label"] = pd.Series(["1", None] * 3, dtype="str")
    with pytest.raises(DataError) as caught:
        validate(splits, CONCEPTS, limits())
    assert "label 'rating' is '1' in all but 3, where it is empty, of 6 training rows" in str(caught.value)
    assert "concept 'price' is empty in all 6 training rows" in str(caught.value)


def test_an_absent_column_is_a_structural_failure():
    splits = {name: frame.drop(columns="concept.food") for name, frame in good_splits().items()}
    with pytest.raises(DataError, match=r"small\.csv has no column 'concept\.food'"):
        validate(splits, CONCEPTS, limits())
