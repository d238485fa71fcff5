"""What people said about one concept, as positions in the table of texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition

FEWEST = 10  # labels that a concept needs
FEWEST_OF_STATE = 2  # texts that at least two states need


@dataclass(frozen=True)
class ConceptLabels:
    """The texts that people labelled with a concept.

    Attributes:
        known: [labelled], positions in the table of texts, in its order
        states: [labelled], indices of their states
        groups: [labelled], their groups
    """

    known: np.ndarray
    states: np.ndarray
    groups: np.ndarray

    def part(self, chosen: np.ndarray) -> "ConceptLabels":
        """Those that are chosen, [labelled]."""
        return ConceptLabels(self.known[chosen], self.states[chosen], self.groups[chosen])

    def fault(self, concept: ConceptDefinition) -> str | None:
        """Why nothing can be learnt from these labels; None if something can be."""
        number = len(self.known)
        if number < FEWEST:
            return f"concept {concept.name!r} has {number} label(s) of people, and {FEWEST} are needed"
        counts = np.bincount(self.states, minlength=len(concept.states))
        if (counts >= FEWEST_OF_STATE).sum() < 2:
            names = ", ".join(f"{count} {state!r}" for state, count in zip(concept.states, counts, strict=True))
            return (
                f"concept {concept.name!r}: people gave {names}; two states need {FEWEST_OF_STATE} texts each, or "
                "there is nothing to tell apart"
            )
        if len(np.unique(self.groups)) < 2:
            return f"concept {concept.name!r}: all labels of people are of one group of texts; label other texts, too"
        return None


def describe_learning(texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame) -> list[str]:
    """What an annotator on this machine would learn from, in sentences."""
    by_concept = [find_labels(texts, people, concept) for concept in concepts]
    faults = [labels.fault(concept) for labels, concept in zip(by_concept, concepts, strict=True)]
    counts = ", ".join(f"{len(labels.known):,} of {c.name}" for labels, c in zip(by_concept, concepts, strict=True))
    return [
        f"it learns from labels of people: {counts}",
        *(f"it will give no label, since {fault}" for fault in faults if fault is not None),
        "no text leaves this machine, and nothing is paid",
    ]


def find_labels(texts: pd.DataFrame, people: pd.DataFrame, concept: ConceptDefinition) -> ConceptLabels:
    """The texts with a label of people; labels of texts that are not in the table do not count."""
    own = people[people["concept"] == concept.name].dropna(subset="state").drop_duplicates("key", keep="last")
    states = texts["key"].map(own.set_index("key")["state"])
    known = np.flatnonzero(states.notna())
    indices = np.array([concept.concept.index(state) for state in states.iloc[known]], dtype=int)
    return ConceptLabels(known, indices, texts["group"].to_numpy()[known])
