"""Splits: those of the source, and where it has none, rows held out by group and stratified by label."""

import re

import numpy as np
import pandas as pd

from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.params import Split
from sparsecbm.data.lookalikes import visible_form

SYNONYMS = {"val": "validation", "valid": "validation", "training": "train", "testing": "test", "development": "dev"}
EVALUATION = ("dev", "test")
_ORDER = ("train", "validation", *EVALUATION)
RESERVED = ("manifest", "quarantine")  # files of these names lie beside those of the splits
_MAX_NAME = 100


def make_splits(frame: pd.DataFrame, split: Split, seed: int) -> dict[str, pd.DataFrame]:
    """Divide rows by their `split`, and hold missing splits out of train.

    A table without splits counts as train. `test` is held out of train if there is neither dev nor test, and
    `validation` if there is none. Both shares are shares of the rows that the source gave as train. A source without
    train keeps its splits: it can be evaluated on, not trained on.

    Returns:
        Frames without the column `split`, in the order train, validation, dev, test, then others by name.

    Raises:
        DataError: only some rows have a split, a split cannot name a file, or a held-out split would be empty.
        ConfigError: a split is missing and its share is 0.
    """
    names = _source_splits(frame)
    rows = frame.drop(columns="split")
    parts = {name: rows[names == name].reset_index(drop=True) for name in sorted(names.unique(), key=_order)}
    if "train" in parts:
        total = len(parts["train"])
        if not any(name in parts for name in EVALUATION):
            parts["train"], parts["test"] = _hold_out(parts["train"], "test", split.test, total, seed)
        if "validation" not in parts:
            parts["train"], parts["validation"] = _hold_out(parts["train"], "validation", split.validation, total, seed)
    return {name: parts[name] for name in sorted(parts, key=_order)}


def hold_out_groups(groups: pd.Series, labels: pd.Series, share: float, seed: int) -> set[str]:
    """Groups that together hold `share` of the rows, overall and of each label, as closely as whole groups allow.

    Groups are visited label by label, in random order within a label. A group is taken if this brings the number of
    rows taken closer to `share` of the rows visited. So the total is off by at most half the rows of a group.
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


def _source_splits(frame: pd.DataFrame) -> pd.Series:
    """The split of each row in canonical spelling."""
    cells = frame["split"]
    if cells.isna().all():
        return cells.fillna("train")
    if cells.isna().any():
        first = frame[cells.isna()].iloc[0]
        raise DataError(
            f"{first['file']}, row {first['row']}: {int(cells.isna().sum())} row(s) name no split while others do; "
            "fill them in, or leave out source.columns.split to have splits made"
        )
    names = {name: _canonical_name(name) for name in cells.unique()}
    by_form: dict[str, str] = {}
    for name in names.values():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or len(name) > _MAX_NAME:
            raise DataError(f"split {name[:_MAX_NAME]!r} cannot name a file; rename it by source.columns.splits")
        if name.casefold() in RESERVED:
            raise DataError(
                f"split {name!r} has the name of another file of the product; rename it, for example by "
                f"source.columns.splits: {{{name}: {name}-rows}}"
            )
        other = by_form.setdefault(name.casefold(), name)
        if other != name:
            raise DataError(
                f"splits {other!r} and {name!r} look alike; spell them in one way, for example by "
                f"source.columns.splits: {{{name}: {other}}}"
            )
    return cells.map(names)


def _canonical_name(name: str) -> str:
    """The project's name for a split of any spelling; the name itself, if it has none."""
    plain = visible_form(name)
    plain = SYNONYMS.get(plain, plain)
    return plain if plain in _ORDER else name.strip()


def _hold_out(train: pd.DataFrame, name: str, share: float, total: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    if share == 0:
        raise ConfigError(f"the source has no {name} split and split.{name} is 0; give a share to hold out of train")
    taken = train["group"].isin(hold_out_groups(train["group"], train["label"], share * total / len(train), seed))
    if taken.all() or not taken.any():
        raise DataError(
            f"holding out {share:.0%} of {total} rows ({train['group'].nunique()} groups) leaves "
            f"{'no training rows' if taken.all() else f'{name} empty'}; change split.{name} or add data"
        )
    return train[~taken].reset_index(drop=True), train[taken].reset_index(drop=True)


def _order(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)
