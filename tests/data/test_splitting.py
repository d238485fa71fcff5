import pandas as pd
import pytest

from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.params import Split
from sparsecbm.data.splitting import hold_out_groups, make_splits


def grouped(labels: str, size: int = 1, split: str | None = None) -> pd.DataFrame:
    """Return one group of `size` rows for each letter of `labels`."""
    rows = [
        {
            "id": f"{g}-{i}",
            "group": f"g{g:03d}",
            "label": label,
            "file": "f.csv",
            "row": g * size + i + 1,
            "split": split,
        }
        for g, label in enumerate(labels)
        for i in range(size)
    ]
    return pd.DataFrame(rows)


SHARES = Split(validation=0.1, test=0.2)


def test_shares_are_exact_overall_and_for_each_label():
    frame = grouped("a" * 60 + "b" * 40)
    splits = make_splits(frame, SHARES, seed=1)
    assert list(splits) == ["train", "validation", "test"]
    assert {name: len(part) for name, part in splits.items()} == {"train": 70, "validation": 10, "test": 20}
    assert splits["test"]["label"].value_counts().to_dict() == {"a": 12, "b": 8}
    assert splits["validation"]["label"].value_counts().to_dict() == {"a": 6, "b": 4}


def test_groups_stay_together_and_no_row_is_lost():
    frame = grouped("abc" * 20, size=4)
    splits = make_splits(frame, SHARES, seed=5)
    groups = {name: set(part["group"]) for name, part in splits.items()}
    assert not groups["train"] & groups["test"] and not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]
    assert sorted(pd.concat(splits.values())["id"]) == sorted(frame["id"])
    assert len(splits["test"]) == 48  # a fifth of 240 rows: 12 whole groups


def test_the_seed_decides_and_the_order_of_rows_does_not():
    frame = grouped("ab" * 50)
    once, again = make_splits(frame, SHARES, 3), make_splits(frame, SHARES, 3)
    assert once["test"].equals(again["test"])
    assert set(make_splits(frame, SHARES, 4)["test"]["id"]) != set(once["test"]["id"])
    shuffled = frame.sample(frac=1, random_state=0)
    assert set(make_splits(shuffled, SHARES, 3)["test"]["id"]) == set(once["test"]["id"])


def test_splits_of_the_source_stay_and_only_missing_ones_are_made():
    frame = pd.concat([grouped("ab" * 20, split="training"), grouped("ab" * 3, split="dev").assign(group="d")])
    splits = make_splits(frame, SHARES, 0)
    assert {name: len(part) for name, part in splits.items()} == {"train": 36, "validation": 4, "dev": 6}


def test_a_source_with_all_splits_does_not_change():
    names = ["train", "Val", "test", "extra"]
    splits = make_splits(pd.concat([grouped("ab", split=name) for name in names]), SHARES, 0)
    assert {name: len(part) for name, part in splits.items()} == {"train": 2, "validation": 2, "test": 2, "extra": 2}


def test_a_source_without_train_gets_no_new_splits():
    assert list(make_splits(grouped("abab", split="dev"), SHARES, 0)) == ["dev"]


def test_missing_labels_form_a_separate_stratum():
    labels = pd.Series(["a"] * 10 + [None] * 10)
    groups = pd.Series([f"g{i:02d}" for i in range(20)])
    held_out = hold_out_groups(groups, labels, 0.5, seed=0)
    assert sum(int(group[1:]) < 10 for group in held_out) == 5 and len(held_out) == 10


def test_a_group_counts_under_its_most_frequent_label():
    groups = pd.Series(["x", "x", "x", "y"])
    # Most of x is b, so the algorithm takes y (a) first. After that, x would add 4 rows where 2 are needed.
    assert hold_out_groups(groups, pd.Series(["a", "b", "b", "a"]), 0.5, seed=0) == {"y"}


def test_the_error_for_a_share_of_zero_names_the_key():
    with pytest.raises(ConfigError, match=r"split\.validation is 0"):
        make_splits(grouped("ab" * 10), Split(validation=0, test=0.2), 0)


def test_too_few_groups_for_a_split_is_an_error():
    with pytest.raises(DataError, match=r"leaves test empty; change split\.test"):
        make_splits(grouped("a", size=10), SHARES, 0)


def test_the_error_for_rows_without_a_split_names_these_rows():
    frame = pd.concat([grouped("ab", split="train"), grouped("ab")], ignore_index=True)
    with pytest.raises(DataError, match=r"f\.csv, row 1: 2 row\(s\) name no split while others do"):
        make_splits(frame, SHARES, 0)


def test_a_split_that_cannot_name_a_file_is_an_error():
    with pytest.raises(DataError, match=r"'../x' cannot name a file"):
        make_splits(grouped("ab", split="../x"), SHARES, 0)


def with_splits(names: list[str]) -> pd.DataFrame:
    return grouped("a" * len(names)).assign(split=names)


def test_known_splits_are_known_in_every_spelling():
    frame = with_splits(["TRAIN", "Test ", "Valid", "ｔｒａｉｎ"])
    assert list(make_splits(frame, SHARES, 0)) == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train", "quarantine"], r"'quarantine' has the name of another file.*splits: {quarantine: quarantine-rows}"),
        (["train", "Manifest"], "'Manifest' has the name of another file"),
        (["train", "holdout", "Holdout"], r"'holdout' and 'Holdout' look alike|'Holdout' and 'holdout' look alike"),
        (["train", "x" * 300], "cannot name a file"),
    ],
)
def test_a_split_cannot_have_every_name(names, message):
    with pytest.raises(DataError, match=message):
        make_splits(with_splits(names), SHARES, 0)
