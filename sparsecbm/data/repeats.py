"""What only shows between rows: repeated ids and texts, and groups that straddle splits.

A model must not be scored on what it learnt from, so of two copies the one that is used for less goes: first
training rows, then validation rows. Evaluation splits stay whole, since scores on them are compared with others'.
"""

from dataclasses import dataclass

import pandas as pd

from sparsecbm.data.text_quality import comparable

_ROLES = {"train": 2, "validation": 1}  # every other split is for evaluation: 0

REPEATED_ID, REPEATED_TEXT, STRADDLING = "repeated id", "repeated text", "straddling group"


def role(split: str) -> int:
    """How readily a split gives up a row: 0 for evaluation, 1 for validation, 2 for training."""
    return _ROLES.get(split, 0)


def repeated_ids(rows: pd.DataFrame) -> dict[int, str]:
    """Rows whose id another row holds with more right to it, by index label, with the reason."""
    return {
        label: f"id {rows.at[label, 'id']!r} is taken by {_place(rows, first)}"
        for label, first in _later(rows, rows["id"]).items()
    }


def straddling_groups(rows: pd.DataFrame) -> dict[int, str]:
    """Training and validation rows whose group also lies in a split that is used to judge them."""
    roles = rows["split"].map(role)
    judged = roles.groupby(rows["group"]).transform("min")
    firsts = _firsts(rows, rows["group"])
    return {
        label: f"group {rows.at[label, 'group']!r} also lies in {_place(rows, firsts[rows.at[label, 'group']])}"
        for label in rows.index[roles > judged]
    }


def shared_groups(rows: pd.DataFrame) -> list[int]:
    """Evaluation rows whose group lies in more than one evaluation split, by index label."""
    judged = rows[rows["split"].map(role) == 0]
    splits = judged.groupby("group")["split"].transform("nunique")
    return judged.index[splits > 1].tolist()


@dataclass(frozen=True)
class RepeatedTexts:
    """Rows whose text another row has, by index label, with the place of that other row.

    `removable` ones give way to it. A repeat within one group (two edits that came out alike) and one among
    evaluation rows are only worth a warning.
    """

    removable: dict[int, str]
    in_group: dict[int, str]
    in_evaluation: dict[int, str]


def repeated_texts(rows: pd.DataFrame) -> RepeatedTexts:
    """Find texts that recur, case and spacing aside."""
    found = RepeatedTexts({}, {}, {})
    for label, first in _later(rows, comparable(rows["text"])).items():
        kind = found.removable
        if rows.at[label, "group"] == rows.at[first, "group"]:
            kind = found.in_group
        elif role(rows.at[label, "split"]) == 0:
            kind = found.in_evaluation
        kind[label] = f"text repeats {_place(rows, first)}"
    return found


def _by_right(rows: pd.DataFrame) -> pd.Index:
    """Index labels with those first whose row stays: evaluation, validation, training, each in its order."""
    return rows["split"].map(role).sort_values(kind="stable").index


def _firsts(rows: pd.DataFrame, keys: pd.Series) -> dict:
    """For each key the row with most right to it."""
    ordered = keys.loc[_by_right(rows)]
    return {key: label for label, key in ordered[~ordered.duplicated()].items()}


def _later(rows: pd.DataFrame, keys: pd.Series) -> dict[int, int]:
    """Rows whose key an earlier one has, in table order, each with that earlier row."""
    firsts = _firsts(rows, keys)
    return {label: firsts[key] for label, key in keys.items() if firsts[key] != label}


def _place(rows: pd.DataFrame, label: int) -> str:
    return f"{rows.at[label, 'file']}, row {rows.at[label, 'row']} (split {rows.at[label, 'split']})"
