"""For any fault in the rows, no row vanishes, no bad row passes, and no good row is quarantined."""

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecbm.data.schemas import RawTable, failures, schema
from sparsecbm.data.text_quality import comparable
from sparsecbm.data.validation import validate
from tests.support.small_tables import CONCEPTS, good_rows, limits

SPLITS = ("train", "validation", "dev", "test")
ROWS = 7

texts = st.one_of(
    st.none(),
    st.sampled_from(["", " ", "same", "SAME ", "same  again", "lost \ufffd", "cafÃ©", "w " * 51]),
    # Every character except halves of surrogate pairs, which ingest replaces.
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
states = st.sampled_from(["1", "2", "3", "4", "one", "", "low", "high", "Positive", "positive"])
spoil = st.one_of(
    st.tuples(st.just("text"), texts),
    st.tuples(st.sampled_from(["label", "concept.food", "concept.price"]), st.none() | states),
    st.tuples(st.just("id"), st.none() | st.sampled_from(["train0", "test0", "new"])),
    st.tuples(st.just("group"), st.sampled_from(["train0", "dev1", "g"])),
)
spoils = st.lists(st.tuples(st.sampled_from(SPLITS), st.integers(0, ROWS - 3), spoil), max_size=12)


def spoiled(changes) -> dict[str, pd.DataFrame]:
    # The last two rows of each split stay good, so that train always has more than one state.
    splits = {name: good_rows(ROWS, name) for name in SPLITS}
    for split, row, (column, value) in changes:
        splits[split].loc[row, column] = value
    return splits


@settings(max_examples=30, deadline=None)
@given(spoils)
def test_every_row_is_accepted_or_quarantined(changes):
    splits = spoiled(changes)
    result = validate(splits, CONCEPTS, limits(quarantine_share=0.99))
    for name, frame in splits.items():
        out = result.splits[name]
        quarantined = result.quarantine[result.quarantine["split"] == name]
        assert sorted([*out["row"], *quarantined["row"]]) == list(frame["row"])
        assert result.report["rows"][name] == {"in": ROWS, "out": len(out), "quarantined": len(quarantined)}
        # Accepted rows do not change, cell by cell.
        came = frame[frame["row"].isin(out["row"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(out, came)
    assert result.quarantine["reasons"].str.len().gt(0).all()


@settings(max_examples=30, deadline=None)
@given(spoils)
def test_accepted_rows_are_good_and_pass_again(changes):
    result = validate(spoiled(changes), CONCEPTS, limits(quarantine_share=0.99))
    rows = pd.concat([frame.assign(split=name) for name, frame in result.splits.items()], ignore_index=True)
    assert len(failures(rows, schema(RawTable, CONCEPTS, 50), "t")) == 0
    assert rows["id"].is_unique
    learnt, judged = rows[rows["split"] == "train"], rows[rows["split"].isin(["dev", "test"])]
    assert not set(learnt["group"]) & set(judged["group"])
    assert not set(comparable(learnt["text"])) & set(comparable(judged["text"]))
    again = validate(result.splits, CONCEPTS, limits(quarantine_share=0))
    assert len(again.quarantine) == 0 and again.report["warnings"] == result.report["warnings"]


@settings(max_examples=30, deadline=None)
@given(spoils)
def test_an_unchanged_row_is_quarantined_only_because_of_another_row(changes):
    touched = {(split, row + 1) for split, row, _ in changes}
    result = validate(spoiled(changes), CONCEPTS, limits(quarantine_share=0.99))
    for row in result.quarantine.itertuples():
        if (row.split, row.row) not in touched:
            assert row.reasons.startswith(("repeated id", "repeated text", "straddling group"))
