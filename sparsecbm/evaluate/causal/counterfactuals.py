"""Counterfactual pairs: two rows of a table, edits of one original, that differ in one concept (method, section 6).

A pair is ordered. An explainer sees the base text; somebody wrote the counterfactual text to change the concept. Both
rows belong to one group. Either one row is the original and the other an edit of the concept, or both are edits of the
concept. The two states of the concept must be known and different, and neither may come from an empty cell. A row whose
edit type names no concept makes no pair.

This follows CEBaB (Abraham et al., arXiv 2205.14140).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import permutations

import numpy as np
import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.data.source_table import BLANK, require_columns


@dataclass(frozen=True, eq=False)
class Pairs:
    """Ordered pairs of the rows of one table; all arrays are [pairs].

    Attributes:
        base, counterfactual: indices of the rows in the table, from 0
        concept: name of the concept that differs
        before, after: its state in the base and in the counterfactual row
        group: the group of both rows; pairs of one group are not independent
    """

    base: np.ndarray
    counterfactual: np.ndarray
    concept: np.ndarray
    before: np.ndarray
    after: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.base)

    def where(self, keep: np.ndarray) -> "Pairs":
        """A selection of the pairs.

        Args:
            keep: [pairs] truth values, or indices
        """
        return Pairs(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})


def counterfactual_pairs(frame: pd.DataFrame, concept_set: ConceptSet, where: str = "the table") -> Pairs:
    """All pairs of an annotated table (columns as in `sparsecbm.data.tables`), group by group.

    Args:
        where: what to call the table in an error

    Raises:
        DataError: a column is absent, or the table has no pair.
    """
    needed = ["group", "edit_type", *(f"{kind}.{name}" for kind in ("concept", "source") for name in concept_set.names)]
    require_columns(list(frame.columns), needed, where, "Take a table as the stage `annotate` writes it.")
    pairs = pairs_if_any(frame, concept_set)
    if pairs is None:
        raise DataError(
            f"{where} has no counterfactual pair: no two rows of one group have different states of the concept that "
            f"`edit_type` names; the concepts are {', '.join(concept_set.names)}. Use a source with edited texts, such "
            "as `restaurants` or `cebab`"
        )
    return pairs


def pairs_if_any(frame: pd.DataFrame, concept_set: ConceptSet) -> Pairs | None:
    """The same, but None for a table without pairs: most sources have no edits."""
    if "edit_type" not in frame:
        return None
    states = {name: _known_states(frame, name) for name in concept_set.names}
    edits = [None if pd.isna(cell) else cell for cell in frame["edit_type"]]
    pairs = list(_pairs(frame["group"].astype(str).tolist(), edits, states))
    return Pairs(*(np.array(column) for column in zip(*pairs, strict=True))) if pairs else None


def _known_states(frame: pd.DataFrame, name: str) -> list[str | None]:
    """The annotated state of each row; None for other rows, also for empty cells that became `unknown`."""
    known = frame[f"concept.{name}"].notna() & (frame[f"source.{name}"] != BLANK)
    return [cell if annotated else None for cell, annotated in zip(frame[f"concept.{name}"], known, strict=True)]


def _pairs(groups: list[str], edits: list[str | None], states: dict[str, list[str | None]]) -> Iterator[tuple]:
    rows_by_group = defaultdict(list)
    for row, group in enumerate(groups):
        rows_by_group[group].append(row)
    for group, rows in rows_by_group.items():
        for base, counterfactual in permutations(rows, 2):
            concept = _edited_between(edits[base], edits[counterfactual])
            if concept not in states:
                continue
            before, after = states[concept][base], states[concept][counterfactual]
            if None not in (before, after) and before != after:
                yield base, counterfactual, concept, before, after, group


def _edited_between(first: str | None, second: str | None) -> str | None:
    """The concept that was edited between two rows of a group; None for two originals or for edits of two concepts."""
    if first is None or second is None:
        return first or second
    return first if first == second else None
