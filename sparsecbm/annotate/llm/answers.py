"""Answers of a model as text: the JSON object in them, and whether its states are valid."""

import json
import unicodedata
from collections.abc import Sequence

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.llm.question import Answer, Cell

_LONGEST, _OBJECTS = 20_000, 200  # characters and braces that are looked at
_decode = json.JSONDecoder().raw_decode


def parse_answer(text: str, concepts: Sequence[ConceptDefinition]) -> Answer:
    """The states in an answer. Prose or a code fence around the JSON object does not matter, nor does upper case.

    A state is never guessed: another word than a state, two states, or none is a fault.
    """
    found = _last_object(text[-_LONGEST:])
    if found is None:
        return Answer({}, ("it holds no JSON object",))
    folded_names = {_folded(name): value for name, value in found.items()}
    cells, faults = {}, []
    for concept in concepts:
        given = found.get(concept.name, folded_names.get(_folded(concept.name)))
        state = _state(given, tuple(concept.states))
        if state is not None:
            cells[concept.name] = Cell(state)
        elif given is None:
            faults.append(f"the key {_shown(concept.name)} is missing")
        else:
            choices = ", ".join(map(_shown, concept.states))
            faults.append(f"{_shown(concept.name)} is {_shown(given)[:60]}, which is none of {choices}")
    return Answer(cells, tuple(faults))


def _state(given: object, states: Sequence[str]) -> str | None:
    """The state that is meant; None if it is none of them, or could be two."""
    if not isinstance(given, str) or given in states:
        return given if isinstance(given, str) else None
    matches = [state for state in states if _folded(state) == _folded(given)]
    return matches[0] if len(matches) == 1 else None


def _last_object(text: str) -> dict[str, object] | None:
    """The last JSON object in a text: a model that thinks aloud ends with its answer."""
    last, start = None, text.find("{")
    for _ in range(_OBJECTS):
        if start < 0:
            break
        try:
            last, end = _decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)
    return last


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()
