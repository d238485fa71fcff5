"""Splits: the source's own where it has them, else held out by group, stratified by label and seeded."""

import re

import numpy as np
import pandas as pd

from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.params import Split

SYNONYMS = {"val": "validation", "valid": "validation", "training": "train"}
EVALUATION = ("dev", "test")
_ORDER = ("train", "validation", *EVALUATION)


def make_splits(frame: pd.DataFrame, split: Split, seed: int) -> dict[str, pd.DataFrame]:
    """Part rows by their `split`; hold out what is missing from train.

    Rows without any split count as train. From train, `test` is held out if there is neither dev nor test, and
    `validation` if there is none; their shares are of all rows that came as train. A source without train
    keeps the splits that it has: it can be evaluated on, not trained on.

    Returns:
        Frames without the column `split`, in the order train, validation, dev, test, then any others by name.
    """
    own = _own_split(frame)
    rows = frame.drop(columns="split")
    parts = {name: rows[own == name].reset_index(drop=True) for name in sorted(own.unique(), key=_place)}
    if "train" in parts:
        total = len(parts["train"])
        if not any(name in parts for name in EVALUATION):
            parts["train"], parts["test"] = _hold_out(parts["train"], "test", split.test, total, seed)
        if "validation" not in parts:
            parts["train"], parts["validation"] = _hold_out(parts["train"], "validation", split.validation, total, seed)
    return {name: parts[name] for name in sorted(parts, key=_place)}


def hold_out_groups(groups: pd.Series, labels: pd.Series, share: float, seed: int) -> set[str]:
    """Groups that together hold `share` of the rows, overall and, as nearly as whole groups allow, of each label.

    Groups go by label, shuffled within it; one is taken whenever that brings the rows taken so far closer to
    their share of the rows passed so far. So the total is right to half a group's rows.
    """
    counts = pd.DataFrame({"group": groups, "label": labels.fillna("")}).value_counts().reset_index(name="rows")
    by_count = counts.sort_values(["group", "rows", "label"], ascending=[True, False, True])
    sizes = by_count.groupby("group").agg(rows=("rows", "sum"), label=("label", "first"))
    shuffled = sizes.iloc[np.random.default_rng(seed).permutation(len(sizes))]
    taken, held, due = set(), 0, 0.0
    for row in shuffled.sort_values("label", kind="stable").itertuples():
        due += share * row.rows
        if held + row.rows / 2 <= due:
            taken.add(row.Index)
            held += row.rows
    return taken


def _own_split(frame: pd.DataFrame) -> pd.Series:
    """Each row's split in canonical spelling; a source names all or none."""
    own = frame["split"]
    if own.isna().all():
        return own.fillna("train")
    if own.isna().any():
        first = frame[own.isna()].iloc[0]
        raise DataError(
            f"{first['file']}, row {first['row']}: {int(own.isna().sum())} row(s) name no split while others do; "
            "fill them in, or leave out source.columns.split to have splits made"
        )
    names = {name: SYNONYMS.get(name.strip().lower(), name.strip()) for name in own.unique()}
    for name in names.values():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise DataError(f"split {name!r} cannot name a file; rename it by source.columns.splits")
    return own.map(names)


def _hold_out(train: pd.DataFrame, name: str, share: float, total: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    if share == 0:
        raise ConfigError(f"the source has no {name} split and split.{name} is 0; give a share to hold out of train")
    taken = train["group"].isin(hold_out_groups(train["group"], train["label"], share * total / len(train), seed))
    if taken.all() or not taken.any():
        raise DataError(
            f"holding out {share:.0%} of {total} rows ({train['group'].nunique()} groups) leaves "
            f"{'no training rows' if taken.all() else f'{name} empty'}; change split.{name} or bring more data"
        )
    return train[~taken].reset_index(drop=True), train[taken].reset_index(drop=True)


def _place(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)
