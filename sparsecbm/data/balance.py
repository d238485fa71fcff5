"""How often each label and state occurs, and which states are rare."""

import pandas as pd

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.data.blanks import UNKNOWN


def variables(concept_set: ConceptSet) -> list[tuple[str, str, Concept]]:
    """The label and the concepts, each as its column, its name in messages and the variable."""
    label = ("label", f"label {concept_set.label.name!r}", concept_set.label)
    return [label, *((f"concept.{c.name}", f"concept {c.name!r}", c) for c in concept_set)]


def count_states(frame: pd.DataFrame, concept_set: ConceptSet) -> dict[str, dict[str, int]]:
    """The rows of each state, for the label and every concept; `missing` counts the rows without a state."""
    counts = {}
    for column, _, variable in variables(concept_set):
        cells = frame[column]
        by_state = {state: int((cells == state).sum()) for state in variable.states}
        counts[column] = {"states": by_state, "missing": int(cells.isna().sum())}
    return counts


def find_constants(rows: pd.DataFrame, concept_set: ConceptSet, blank_is_state: bool) -> dict[str, str]:
    """The label and the concepts that never vary, by column, each with the reason why it cannot be learnt.

    Args:
        blank_is_state: whether an empty cell of a concept gets the state `unknown` later, which then counts
    """
    constants = {}
    for column, name, _ in variables(concept_set):
        cells = rows[column]
        filled = cells.dropna()
        if filled.empty:
            constants[column] = f"{name} is empty in all {len(cells)}"
        elif filled.nunique() == 1 and (len(filled) == len(cells) or not blank_is_state or column == "label"):
            empty = "" if len(filled) == len(cells) else f" but {len(cells) - len(filled)}, where it is empty, of"
            constants[column] = f"{name} is {filled.iloc[0]!r} in all{empty} {len(cells)}"
    return constants


def require_variation(train: pd.DataFrame, concept_set: ConceptSet, blank_is_state: bool = True) -> None:
    """Insist that the label and every concept vary in the training rows.

    Raises:
        DataError: a variable has no state, or the same one in every row; the message lists all such variables.
    """
    files = ", ".join(sorted(train["file"].unique()))
    lines = [
        f"{files}, column {column!r}: {reason} training rows, so there is nothing to learn; leave it out of the "
        "mapping, or add rows with another state"
        for column, reason in find_constants(train, concept_set, blank_is_state).items()
    ]
    if lines:
        raise DataError("\n".join(lines))


def find_rare_states(
    counts: dict[str, dict], concept_set: ConceptSet, split: str, least: float, blank_is_state: bool
) -> list[tuple[str, str]]:
    """The column and a message for each variable that has rare states.

    Args:
        counts: of the split, from `count_states`
        split: name of the split, for the message
        least: a state is rare if it has a smaller share of the rows with a state
        blank_is_state: whether an empty cell of a concept gets the state `unknown` later, and so counts as one
    """
    warnings = []
    for column, name, _ in variables(concept_set):
        by_state = dict(counts[column]["states"])
        if not any(by_state.values()):
            warnings.append((column, f"{name} has no state in any row of {split}"))
            continue
        if blank_is_state and column != "label" and UNKNOWN in by_state:
            by_state[UNKNOWN] += counts[column]["missing"]
        total = sum(by_state.values())
        rare = [f"{state!r} {count / total:.1%}" for state, count in by_state.items() if count < least * total]
        if rare:
            warnings.append((column, f"{name} has states below {least:.1%} of {split}: {', '.join(rare)}"))
    return warnings
