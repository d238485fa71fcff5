"""How often each label and state occurs, and which are too rare to learn."""

import pandas as pd

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import DataError


def variables(concept_set: ConceptSet) -> list[tuple[str, str, Concept]]:
    """The label and the concepts: column, a name for messages, the variable."""
    label = ("label", f"label {concept_set.label.name!r}", concept_set.label)
    return [label, *((f"concept.{c.name}", f"concept {c.name!r}", c) for c in concept_set)]


def balance(frame: pd.DataFrame, concept_set: ConceptSet) -> dict[str, dict[str, int]]:
    """For each label and concept column its rows by state; `missing` counts those without one."""
    counts = {}
    for column, _, variable in variables(concept_set):
        cells = frame[column]
        by_state = {state: int((cells == state).sum()) for state in variable.states}
        counts[column] = {"states": by_state, "missing": int(cells.isna().sum())}
    return counts


def require_variation(train: pd.DataFrame, concept_set: ConceptSet) -> None:
    """Every label and concept must vary in training.

    Raises:
        DataError: one has the same state in every row. Empty cells may yet get another state, so they count as one.
    """
    for column, name, _ in variables(concept_set):
        cells = train[column]
        if cells.notna().all() and cells.nunique() == 1:
            files = ", ".join(sorted(train["file"].unique()))
            raise DataError(
                f"{files}, column {column!r}: {name} is {cells.iloc[0]!r} in all {len(train)} training rows, "
                "so there is nothing to learn; leave it out of the mapping, or bring rows with another state"
            )


def rare_states(counts: dict[str, dict], concept_set: ConceptSet, split: str, least: float) -> list[tuple[str, str]]:
    """Column and sentence for each variable with states below a share of the rows that have one."""
    found = []
    for column, name, _ in variables(concept_set):
        by_state = counts[column]["states"]
        total = sum(by_state.values())
        if total == 0:
            found.append((column, f"{name} has no state in any row of {split}"))
            continue
        rare = [f"{state!r} {count / total:.1%}" for state, count in by_state.items() if count < least * total]
        if rare:
            found.append((column, f"{name} has states below {least:.1%} of {split}: {', '.join(rare)}"))
    return found
