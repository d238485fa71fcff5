"""Faults that show only between rows: repeated ids and texts, and groups that lie in several splits.

A model must not be scored on what it was trained on. So of two copies the less needed one is removed: training rows
first, then validation rows. Evaluation splits keep repeated texts, so that their scores compare with published ones.
"""

from dataclasses import dataclass

import pandas as pd

from sparsecbm.data.text_quality import comparable

_ROLES = {"train": 2, "validation": 1}  # every other split is for evaluation: 0

REPEATED_ID, REPEATED_TEXT, STRADDLING = "repeated id", "repeated text", "straddling group"


def role(split: str) -> int:
    """In which order splits give up rows: 2 (training) first, then 1 (validation), then 0 (evaluation)."""
    return _ROLES.get(split, 0)


def repeated_ids(rows: pd.DataFrame) -> dict[int, str]:
    """Rows whose id belongs to another row, by index label, with the reason."""
    return {
        label: f"id {rows.at[label, 'id']!r} is taken by {_location(rows, first)}"
        for label, first in _repeats(rows, rows["id"]).items()
    }


def straddling_groups(rows: pd.DataFrame) -> dict[int, str]:
    """Training and validation rows whose group also lies in a split that evaluates them, each with the reason."""
    roles = rows["split"].map(role)
    group_roles = roles.groupby(rows["group"]).transform("min")
    firsts = _firsts(rows, rows["group"])
    return {
        label: f"group {rows.at[label, 'group']!r} also lies in {_location(rows, firsts[rows.at[label, 'group']])}"
        for label in rows.index[roles > group_roles]
    }


def shared_groups(rows: pd.DataFrame) -> list[int]:
    """Evaluation rows whose group lies in more than one evaluation split, by index label."""
    evaluation = rows[rows["split"].map(role) == 0]
    splits = evaluation.groupby("group")["split"].transform("nunique")
    return evaluation.index[splits > 1].tolist()


@dataclass(frozen=True)
class RepeatedTexts:
    """Rows whose text another row has, by index label, with the location of that other row.

    Attributes:
        removable: rows that are removed in favour of the other one
        in_group: repeats within one group, such as two edits that turned out alike; they get a warning only
        in_evaluation: repeats among evaluation rows; they get a warning only
    """

    removable: dict[int, str]
    in_group: dict[int, str]
    in_evaluation: dict[int, str]


def repeated_texts(rows: pd.DataFrame) -> RepeatedTexts:
    """Find texts that occur more than once. Case, spacing, invisible characters and Unicode variants do not count."""
    repeats = RepeatedTexts({}, {}, {})
    for label, first in _repeats(rows, comparable(rows["text"])).items():
        kind = repeats.removable
        if rows.at[label, "group"] == rows.at[first, "group"]:
            kind = repeats.in_group
        elif role(rows.at[label, "split"]) == 0:
            kind = repeats.in_evaluation
        kind[label] = f"text repeats {_location(rows, first)}"
    return repeats


def _by_priority(rows: pd.DataFrame) -> pd.Index:
    """Index labels, rows that are kept first: evaluation, validation, training, each in table order."""
    return rows["split"].map(role).sort_values(kind="stable").index


def _firsts(rows: pd.DataFrame, keys: pd.Series) -> dict[str, int]:
    """For each key the row that keeps it, by index label."""
    ordered = keys.loc[_by_priority(rows)]
    return {key: label for label, key in ordered[~ordered.duplicated()].items()}


def _repeats(rows: pd.DataFrame, keys: pd.Series) -> dict[int, int]:
    """Rows whose key another row keeps, in table order, each with that other row."""
    firsts = _firsts(rows, keys)
    return {label: firsts[key] for label, key in keys.items() if firsts[key] != label}


def _location(rows: pd.DataFrame, label: int) -> str:
    return f"{rows.at[label, 'file']}, row {rows.at[label, 'row']} (split {rows.at[label, 'split']})"
