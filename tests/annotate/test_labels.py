"""Tables of machine labels."""

import pandas as pd
import pytest

from sparsecbm.annotate.labels import COLUMNS, label_table, read_labels, text_key, write_labels
from sparsecbm.base.errors import DataError


def row(key: str, concept: str, state: str | None, confidence: float | None = None) -> dict:
    return {"key": key, "concept": concept, "state": state, "confidence": confidence, "definition": "d", "model": "m"}


def test_a_key_depends_on_the_text_and_not_on_its_unicode_form():
    assert text_key("café ") == text_key("cafe\u0301") != text_key("cafe")
    assert text_key("\ud800") != text_key("")  # half of a surrogate pair has a key, too


def test_the_later_of_two_labels_counts_and_rows_are_sorted():
    table = label_table(
        [row("b", "food", "x"), row("a", "noise", "y"), row("b", "food", None), row("a", "food", "z", 0.5)]
    )
    assert table["key"].tolist() == ["a", "a", "b"] and table["concept"].tolist() == ["food", "noise", "food"]
    assert [None if pd.isna(state) else state for state in table["state"]] == ["z", "y", None]
    assert table["confidence"].iloc[0] == 0.5


def test_bytes_depend_on_the_labels_alone(tmp_path):
    rows = [row("b", "food", "x"), row("a", "food", "y")]
    write_labels(tmp_path / "one.parquet", label_table(rows))
    write_labels(tmp_path / "two.parquet", label_table(rows[::-1]))
    write_labels(tmp_path / "three.parquet", label_table(rows[:1]))
    one, two, three = ((tmp_path / f"{name}.parquet").read_bytes() for name in ("one", "two", "three"))
    assert one == two != three
    pd.testing.assert_frame_equal(read_labels(tmp_path / "one.parquet"), label_table(rows))


def test_no_file_is_no_labels_and_another_table_is_refused(tmp_path):
    assert read_labels(tmp_path / "llm.parquet").empty and list(read_labels(tmp_path / "llm.parquet")) == list(COLUMNS)
    pd.DataFrame({"key": ["a"]}).to_parquet(tmp_path / "llm.parquet")
    with pytest.raises(DataError, match=r"llm.parquet is no table of labels: it has no column concept"):
        read_labels(tmp_path / "llm.parquet")
