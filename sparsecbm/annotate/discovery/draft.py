"""From candidates to definitions of concepts that a person edits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.discovery.candidates import Candidate
from sparsecbm.annotate.discovery.corpus import Corpus
from sparsecbm.base.concepts import RESERVED
from sparsecbm.data.blanks import UNKNOWN

NEGATIVE, POSITIVE = "Negative", "Positive"
ABSENT, PRESENT = "absent", "present"
SHOWN_TERMS = 5
EXAMPLES = 2  # for each end
LONGEST = 200  # characters of an example

# The definitions that `suggest` writes where no language model gives better ones.
TEMPLATES = {
    NEGATIVE: "The text says something bad about {name} ({terms}).",
    POSITIVE: "The text says something good about {name} ({terms}).",
    UNKNOWN: "The text says nothing about {name}.",
    ABSENT: "The text does not speak of {name} ({terms}).",
    PRESENT: "The text speaks of {name} ({terms}).",
}


@dataclass(frozen=True)
class Poles:
    """Which end of the label's axis is which.

    Attributes:
        low, high: the classes of the label at the ends
        praise_is_high: whether praise lies towards the high end
        guessed: whether an embedding of praise told that, and not the order of the label's states
    """

    low: str
    high: str
    praise_is_high: bool = True
    guessed: bool = False


def free_names(candidates: Sequence[Candidate], taken: Sequence[str]) -> list[str]:
    """A name for each candidate: its first term whose name is neither taken nor reserved; blanks become `_`."""
    used = {name.casefold() for name in (*taken, *RESERVED)}
    names = []
    for candidate in candidates:
        forms = [term.replace(" ", "_") for term in (candidate.name, *candidate.terms)]
        name = next((form for form in forms if form.casefold() not in used), None)
        number = 2
        while name is None:
            form = f"{forms[0]}_{number}"
            name, number = (form if form.casefold() not in used else None), number + 1
        used.add(name.casefold())
        names.append(name)
    return names


def draft_definition(
    name: str, candidate: Candidate, polar: bool, degrees: np.ndarray, corpus: Corpus, poles: Poles
) -> ConceptDefinition:
    """A definition from templates, with the most typical clauses as examples.

    Args:
        polar: whether texts are for or against it (Negative, Positive, unknown), or only mention it (absent, present)
        degrees: [clauses], the position of each clause on the axis of the label
    """
    states = (NEGATIVE, POSITIVE, UNKNOWN) if polar else (ABSENT, PRESENT)
    spoken = name.replace("_", " ")
    shown = ", ".join([term for term in candidate.terms if term != spoken][:SHOWN_TERMS]) or spoken
    definitions = {state: TEMPLATES[state].format(name=spoken, terms=shown) for state in states}
    if polar:
        rising = degrees if poles.praise_is_high else -degrees
        ends = {NEGATIVE: rising, POSITIVE: -rising}
    else:
        ends = {PRESENT: -np.abs(_typicality(candidate, corpus))}
    examples = [(clause, state) for state, order in ends.items() for clause in _first_clauses(candidate, order, corpus)]
    return ConceptDefinition(name, f"What the text says about {spoken}.", definitions, tuple(examples))


def is_template(definition: str) -> bool:
    """Whether a definition is still the one that `suggest` wrote."""
    patterns = [
        re.escape(template).replace(r"\{name\}", ".+").replace(r"\{terms\}", ".+") for template in TEMPLATES.values()
    ]
    return any(re.fullmatch(pattern, definition.strip()) for pattern in patterns)


def _typicality(candidate: Candidate, corpus: Corpus) -> np.ndarray:
    """How near each clause is to the candidate, [clauses]."""
    return (corpus.vectors - corpus.vectors.mean(0)) @ candidate.vector


def _first_clauses(candidate: Candidate, order: np.ndarray, corpus: Corpus) -> list[str]:
    """The first clauses that mention a candidate by rising `order` [clauses], as far as it is below 0.

    The quarter that is least typical of the candidate is left out.
    """
    typical = _typicality(candidate, corpus)
    mentioned = np.flatnonzero(candidate.mentions)
    near = mentioned[(typical[mentioned] >= np.quantile(typical[mentioned], 0.25)) & (order[mentioned] < 0)]
    clauses = {corpus.clauses[i].casefold(): corpus.clauses[i] for i in near[np.argsort(order[near], kind="stable")]}
    return [clause for clause in clauses.values() if len(clause) <= LONGEST][:EXAMPLES]
