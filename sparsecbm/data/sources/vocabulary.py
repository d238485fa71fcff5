"""The concepts of mapped rows, and what keeps a column from being one."""

import json
import math
from collections.abc import Callable, Sequence
from collections.abc import Mapping as AnyMapping

import pandas as pd

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.params import Mapping
from sparsecbm.data.lookalikes import are_classes, group_lookalikes, normal_form, plainest, show_lookalikes

SHOWN_GROUPS, SHOWN_STATES = 5, 3
# What programs and people write where they leave a cell empty.
_EMPTY_WORDS = frozenset(("na", "n/a", "n.a.", "<na>", "nat", "null", "(null)", "\\n", "-", "--", ".", "?"))
States = Sequence[str] | None
NameStates = Callable[[str, Sequence[str]], str]


def name_in_params(key: str, states: Sequence[str]) -> str:
    """How to name states in `params.yaml`; `key` is below `source.columns`."""
    return f"set source.columns.{key}: {json.dumps(list(states), ensure_ascii=False)}"


def find_vocabulary(
    frame: pd.DataFrame, columns: Mapping, file: str, name_states: NameStates = name_in_params
) -> tuple[ConceptSet, dict[str, str]]:
    """The concept set of mapped rows. States come from the mapping; where it has none, from the rows.

    Args:
        name_states: how a person names states, for messages

    Returns:
        The concept set, and the fault of each column that is no concept, by the column of `frame`. In the concept set
        a stand-in takes its place, so that the rows can be checked all the same.

    Raises:
        DataError: two concepts have one name, or a name is reserved.
    """
    sources = {"label": (columns.label, columns.label, columns.labels, "labels")}
    for name, concept in columns.concepts.items():
        sources[f"concept.{name}"] = (name, concept.column, concept.states, f"concepts.{name}.states")
    variables, faults = {}, {}
    for cell, (name, column, states, key) in sources.items():
        fault = None if states else _fault(frame, cell, column, lambda named, key=key: name_states(key, named))
        origin = "set" if states else "not set, so the rows give the states"
        try:
            variables[cell] = Concept(name, states or _states(frame[cell]))
        except ConfigError as error:
            fault = fault or f"{error} (source.columns.{key} is {origin})"
        if fault is not None:
            faults[cell] = f"{file}, column {column!r}: {fault}"
            variables[cell] = _stand_in(name, frame[cell])
    label = variables.pop("label")
    try:
        return ConceptSet(tuple(variables.values()), label), faults
    except ConfigError as error:
        raise DataError(f"source.columns.concepts: {error}") from None


def vocabulary(
    frame: pd.DataFrame, columns: Mapping, file: str, name_states: NameStates = name_in_params
) -> ConceptSet:
    """The concept set of mapped rows.

    Raises:
        DataError: a column is no concept; the message lists all such columns.
    """
    concept_set, faults = find_vocabulary(frame, columns, file, name_states)
    raise_faults(faults)
    return concept_set


def raise_faults(faults: AnyMapping[str, str]) -> None:
    """Raise all faults of columns in one message.

    Raises:
        DataError: there is one.
    """
    if faults:
        raise DataError("\n".join(faults.values()))


def _fault(frame: pd.DataFrame, cell: str, column: str, name_states: Callable[[Sequence[str]], str]) -> str | None:
    """Why the cells of a column do not give states; None if they do, or if they are too few."""
    cells = frame[cell]
    if cells.isna().all():
        other = frame["fault"].dropna()
        other = other[other.str.startswith(f"column {column!r} holds")]
        if len(other):
            kind = other.iloc[0].removeprefix(f"column {column!r} ")
            return (
                f"no cell is a state: it {kind} in row {frame.at[other.index[0], 'row']}, and no state in any other; "
                "write one state in each cell, or leave the column out of the mapping"
            )
        return "it is empty in every row; annotate some rows, or leave the column out of the mapping"
    if not are_classes(cells):
        first = ", ".join(repr(state[:40]) for state in cells.dropna().unique()[:SHOWN_STATES])
        return (
            f"it has {cells.nunique()} different values in {int(cells.notna().sum())} rows ({first}, ...), so they are "
            f"no classes; sort them into a few classes first (scores into ranges), leave the column out, or "
            f"{name_states(['...', '...'])}"
        )
    blanks = [state for state in cells.dropna().unique() if state.strip().casefold() in _EMPTY_WORDS]
    if blanks:
        return (
            f"it holds {', '.join(map(repr, blanks))} in {int(cells.isin(blanks).sum())} row(s), which mostly stands "
            f"for an empty cell; leave these cells empty, or, if it is a state, {name_states(_states(cells))}"
        )
    groups = group_lookalikes(cells)
    if groups:
        listed = "; ".join(show_lookalikes(group) for group in groups[:SHOWN_GROUPS])
        listed += f"; and {len(groups) - SHOWN_GROUPS} more" if len(groups) > SHOWN_GROUPS else ""
        forms = {normal_form(group[0]): plainest(group) for group in groups}
        named = sorted({forms.get(normal_form(state), state) for state in cells.dropna().unique()}, key=_order)
        return (
            f"these states look alike: {listed}; spell each state in one way, or {name_states(named)}, and every "
            "spelling counts as the named state"
        )
    return None


def _states(cells: pd.Series) -> tuple[str, ...]:
    return tuple(sorted(cells.dropna().unique(), key=_order))


def _stand_in(name: str, cells: pd.Series) -> Concept:
    """A concept that knows every cell of a column."""
    states = _states(cells)
    missing = [filler for filler in ("unknown", "known") if filler not in states][: max(0, 2 - len(states))]
    return Concept(name or "label", (*states, *missing))


def _order(state: str) -> tuple[bool, float, str]:
    """Sorts numbers first and by size, then words by the alphabet."""
    try:
        number = float(state)
    except ValueError:
        number = math.nan
    return (False, number, state) if math.isfinite(number) else (True, 0.0, state)
