"""The order in which people label cells: pure functions of what is known about the cells.

A table of cells has one row for each cell (a text and a concept) and the columns
    key, concept   of the cell
    group, label   of the text; label is null without one
    margin, disagreement   as in `MachineOpinion`
    suspicion      by how much machines prefer another state to the one that a person gave, -1 to 1; nan where no person
                   labelled the cell, or no machine did
    labelled       whether a person labelled the cell
"""

import zlib

import numpy as np
import pandas as pd

UNSURE, CONTESTED, SUSPICIOUS, SURE, SPREAD, RANDOM = (
    "machines are unsure",
    "machines disagree",
    "machines contradict a person",
    "machines are sure",
    "spread over the texts",
    "drawn at random",
)
MAX_MARGIN = 0.75  # up to which machines count as unsure
MIN_DISAGREEMENT = 0.1
MIN_SUSPICION = 0.5
GROUP_DISCOUNT = 0.5  # of the worth, for each earlier cell of the same concept and group


def order_by_worth(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells that are worth a person's time, with a column `reason`.

    First come cells on which machines are unsure, those with the smallest margin first (Scheffer et al., IDA 2001).
    Then come those on which machines disagree, then labels of people that machines contradict, and then the rest. A
    cell on which every machine abstained counts as unsure. Within each part concepts take turns, since each has its own
    machine to teach. The second cell of a concept and group counts half, the third a quarter, and so on: texts of one
    group are alike, so they teach less.
    """
    doubt = 1 - cells["margin"].fillna(0.0)
    unsure = ~cells["labelled"] & (doubt >= 1 - MAX_MARGIN)
    contested = ~cells["labelled"] & (cells["disagreement"] >= MIN_DISAGREEMENT) & ~unsure
    suspicious = cells["labelled"] & (cells["suspicion"] >= MIN_SUSPICION)
    sure = ~cells["labelled"] & ~unsure & ~contested
    parts = [
        _part(cells[unsure], doubt, UNSURE),
        _part(cells[contested], cells["disagreement"], CONTESTED),
        _part(cells[suspicious], cells["suspicion"], SUSPICIOUS),
        _part(cells[sure], doubt, SURE),
    ]
    return pd.concat(parts, ignore_index=True)


def order_by_turns(cells: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The cells that no person labelled, spread over labels and groups, with a column `reason`.

    For a start without machine labels. Each group has its turn before one has its second, and within a turn so has each
    label. All cells of a text come together.
    """
    open_cells = cells[~cells["labelled"]]
    texts = open_cells.drop_duplicates("key").fillna({"label": ""})
    texts = texts.assign(chance=_chance(texts["key"], seed)).sort_values("chance")
    texts["group_turn"] = texts.groupby("group").cumcount()
    texts = texts.sort_values(["group_turn", "chance"])
    texts["label_turn"] = texts.groupby("label").cumcount()
    ordered = texts.sort_values(["group_turn", "label_turn", "chance"])
    return _in_order_of_texts(open_cells, ordered["key"]).assign(reason=SPREAD)


def order_at_random(cells: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The cells that no person labelled, at random, with a column `reason`; all cells of a text come together.

    Scores on cells drawn this way are unbiased. The order of two texts does not depend on which others there are.
    """
    open_cells = cells[~cells["labelled"]]
    texts = texts_at_random(open_cells.drop_duplicates("key"), seed)
    return _in_order_of_texts(open_cells, texts["key"]).assign(reason=RANDOM)


def texts_at_random(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The rows of texts, which have a `key`, in the order in which `order_at_random` asks for the texts."""
    return frame.iloc[np.argsort(_chance(frame["key"], seed))]


def _part(cells: pd.DataFrame, worth: pd.Series, reason: str) -> pd.DataFrame:
    ranked = cells.assign(worth=worth.loc[cells.index]).sort_values(["worth", "key"], ascending=[False, True])
    earlier = ranked.groupby(["concept", "group"]).cumcount()
    ranked = ranked.assign(worth=ranked["worth"] * GROUP_DISCOUNT**earlier, reason=reason)
    ranked = ranked.sort_values("worth", ascending=False, kind="stable")
    turns = ranked.assign(turn=ranked.groupby("concept").cumcount()).sort_values("turn", kind="stable")
    return turns.drop(columns=["worth", "turn"])


def _in_order_of_texts(cells: pd.DataFrame, keys: pd.Series) -> pd.DataFrame:
    rank = pd.Series(np.arange(len(keys)), index=keys.to_numpy())
    return cells.iloc[np.argsort(cells["key"].map(rank).to_numpy(), kind="stable")].reset_index(drop=True)


def _chance(keys: pd.Series, seed: int) -> np.ndarray:
    """A random number for each key, which depends on the key and the seed alone."""
    return np.array([zlib.crc32(f"{seed}:{key}".encode()) for key in keys])
