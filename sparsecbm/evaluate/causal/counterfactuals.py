"""Counterfactual pairs: two rows of a table, edits of one original, that differ in one concept (method, section 6).

A pair is ordered: the base text is what an explainer sees, the counterfactual text is what somebody wrote to change
the concept. Both rows are of one group. One is the original, and the concept is what the other was edited in; or both
were edited in that concept. A pair counts where the two states of the concept are known, differ, and neither comes
from an empty cell. A row whose edit type names no concept makes no pair.

After CEBaB (Abraham et al., arXiv 2205.14140).
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
        base, counterfactual: places of the rows in the table, from 0
        concept: name of the concept that differs
        before, after: its state in the base and in the counterfactual row
        group: of both rows; pairs of one group are not independent
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
        """The pairs that `keep`, [pairs], marks or numbers."""
        return Pairs(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})


def counterfactual_pairs(frame: pd.DataFrame, concept_set: ConceptSet, where: str = "the table") -> Pairs:
    """All pairs of an annotated table (columns as in `sparsecbm.data.tables`), group by group.

    Args:
        where: what to call the table in an error

    Raises:
        DataError: a column is absent, or the table has no pair.
    """
    wanted = ["group", "edit_type", *(f"{kind}.{name}" for kind in ("concept", "source") for name in concept_set.names)]
    require_columns(list(frame.columns), wanted, where, "Take a table as the stage `annotate` writes it.")
    found = pairs_if_any(frame, concept_set)
    if found is None:
        raise DataError(
            f"{where} has no counterfactual pair: no two rows of one group whose `edit_type` names a concept that they "
            f"have different states of; the concepts are {', '.join(concept_set.names)}. Pairs need edited texts, as "
            "the sources `restaurants` and `cebab` have them"
        )
    return found


def pairs_if_any(frame: pd.DataFrame, concept_set: ConceptSet) -> Pairs | None:
    """The same, but None for a table that has no pair, as most sources know of no edits."""
    if "edit_type" not in frame:
        return None
    states = {name: _known_states(frame, name) for name in concept_set.names}
    edits = [None if pd.isna(cell) else cell for cell in frame["edit_type"]]
    found = list(_pairs(frame["group"].astype(str).tolist(), edits, states))
    return Pairs(*(np.array(column) for column in zip(*found, strict=True))) if found else None


def _known_states(frame: pd.DataFrame, name: str) -> list[str | None]:
    """The state of each row; None where nobody said one, an empty cell that is read as `unknown` included."""
    known = frame[f"concept.{name}"].notna() & (frame[f"source.{name}"] != BLANK)
    return [cell if said else None for cell, said in zip(frame[f"concept.{name}"], known, strict=True)]


def _pairs(groups: list[str], edits: list[str | None], states: dict[str, list[str | None]]) -> Iterator[tuple]:
    members = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    for group, rows in members.items():
        for base, counterfactual in permutations(rows, 2):
            concept = _edited_between(edits[base], edits[counterfactual])
            if concept not in states:
                continue
            before, after = states[concept][base], states[concept][counterfactual]
            if None not in (before, after) and before != after:
                yield base, counterfactual, concept, before, after, group


def _edited_between(first: str | None, second: str | None) -> str | None:
    """What two rows of a group were edited apart in: None between two originals and between edits of two kinds."""
    if first is None or second is None:
        return first or second
    return first if first == second else None
