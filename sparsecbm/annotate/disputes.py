"""Texts on which the sources of labels disagree: the table, the people who labelled, and the machines."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sparsecbm.annotate.human_labels import HUMAN_FILE, read_decisions, standing_decisions
from sparsecbm.annotate.labels import label_paths, read_labels, text_key


def is_disputed(frame: pd.DataFrame, folder: Path, concepts: Iterable[str]) -> pd.Series:
    """Whether two sources give different states of a concept, for each row of a split.

    Args:
        frame: with `text` and `concept.NAME`, the state that the table gives
        folder: `data/annotations`
    """
    keys = frame["text"].map(text_key)
    people = standing_decisions(read_decisions(folder / HUMAN_FILE))
    given = [
        pd.DataFrame({"key": keys, "concept": name, "state": frame[f"concept.{name}"]})
        for name in concepts
        if f"concept.{name}" in frame
    ]
    given += [read_labels(path)[["key", "concept", "state"]] for path in label_paths(folder).values()]
    given.append(pd.DataFrame([(each.key, each.concept, each.state) for each in people], columns=given[-1].columns))
    states = pd.concat(given, ignore_index=True).groupby(["key", "concept"])["state"].nunique()
    return keys.isin(states.index[states > 1].get_level_values("key"))
