"""Labels of people: those of the source's columns, and their decisions on single texts, which win over a column."""

from collections.abc import Mapping

import pandas as pd

from sparsecbm.annotate.labels import text_key
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.data.source_table import HUMAN, UNDECIDED


def apply_decisions(frame: pd.DataFrame, decisions: pd.DataFrame, concept_set: ConceptSet) -> pd.DataFrame:
    """A copy of split rows in which a decision replaces the cell of every row that has its text.

    A decided cell has the source `human`, and as confidence the share of the votes for its state. A cell that cannot
    be decided is empty, with the source `undecided`. Shares of votes of the source no longer count in such cells.

    Args:
        frame: columns as in `sparsecbm.data.tables`
        decisions: from `human_labels.current_labels`; known states only (see `known_decisions`)
    """
    if decisions.empty:
        return frame
    keys = frame["text"].map(text_key)
    changed = {}
    for concept in concept_set:
        by_key = decisions[decisions["concept"] == concept.name].set_index("key")
        decided = keys.isin(by_key.index)
        if not decided.any():
            continue
        states, agreement = keys.map(by_key["state"]), keys.map(by_key["agreement"])
        sources = states.notna().map({True: HUMAN, False: UNDECIDED})
        name = concept.name
        changed[f"concept.{name}"] = frame[f"concept.{name}"].mask(decided, states).astype("str")
        changed[f"source.{name}"] = frame[f"source.{name}"].mask(decided, sources).astype("str")
        confidence = frame[f"confidence.{name}"].mask(decided, agreement.where(states.notna()))
        changed[f"confidence.{name}"] = confidence.astype("float64")
        for column in (f"share.{name}.{state}" for state in concept.states):
            if column in frame:
                changed[column] = frame[column].mask(decided)
    return frame.assign(**changed)


def known_decisions(decisions: pd.DataFrame, concept_set: ConceptSet) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The decisions on known concepts and states, and the others, which an edited definition left behind."""
    states = {concept.name: set(concept.states) for concept in concept_set}
    known = [
        row.concept in states and (pd.isna(row.state) or row.state in states[row.concept])
        for row in decisions.itertuples()
    ]
    mask = pd.Series(known, decisions.index, dtype=bool)
    return decisions[mask], decisions[~mask]


def nobody() -> pd.DataFrame:
    """A table of people's labels without rows: columns `key`, `concept`, `state`."""
    return pd.DataFrame({"key": [], "concept": [], "state": []}, dtype="str")


def labels_of_people(splits: Mapping[str, pd.DataFrame], concept_set: ConceptSet) -> pd.DataFrame:
    """Every cell that people labelled, once for each text: columns `key`, `concept`, `state`, `split` and `group`.

    A text whose rows have different states for a concept is left out: people do not agree on it.

    Args:
        splits: tables to which decisions were applied already
    """
    parts = []
    for split, frame in splits.items():
        keys = frame["text"].map(text_key)
        for concept in concept_set:
            state = frame[f"concept.{concept.name}"]
            chosen = state.notna() & (frame[f"source.{concept.name}"] == HUMAN)
            columns = {"key": keys, "concept": concept.name, "state": state, "split": split, "group": frame["group"]}
            parts.append(pd.DataFrame(columns)[chosen])
    types = dict.fromkeys(("key", "concept", "state", "split", "group"), "str")
    table = (pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(types))).astype(types)
    contested = table.groupby(["key", "concept"])["state"].transform("nunique") > 1
    return table[~contested].drop_duplicates(["key", "concept"]).reset_index(drop=True)
