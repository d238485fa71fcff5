"""Short texts of two concepts, few of which people labelled."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.labels import text_key

CONCEPTS = (
    ConceptDefinition("food", "", {"Negative": "bad food", "Positive": "good food", "unknown": "nothing about food"}),
    ConceptDefinition(
        "service", "", {"Negative": "bad service", "Positive": "good service", "unknown": "nothing about service"}
    ),
)
# Words that the tokenizer of tiny models knows. "bad" and "good" say nothing without their noun.
CLAUSES = {
    "food": {"Negative": ["bad food", "dull food"], "Positive": ["good food", "pretty food"], "unknown": ["a place"]},
    "service": {
        "Negative": ["bad service", "slow service"],
        "Positive": ["good service", "quick service"],
        "unknown": ["we came"],
    },
}


@dataclass(frozen=True)
class FewLabelTask:
    """What annotators are given, and the states of the texts that nobody labelled."""

    texts: pd.DataFrame
    people: pd.DataFrame
    hidden: pd.DataFrame


def few_label_task(texts: int, labelled: int, seed: int = 0) -> FewLabelTask:
    """Draw texts of two clauses; the label is 1 if both concepts are Negative, 3 if both are Positive, else 2.

    A fifth of the texts is the split `validation`. Two texts make a group. The first ones are labelled.
    """
    generator = np.random.default_rng(seed)
    rows, cells = [], []
    for number in range(texts):
        states = {name: str(generator.choice(list(by_state))) for name, by_state in CLAUSES.items()}
        clauses = [str(generator.choice(CLAUSES[name][state])) for name, state in states.items()]
        text = f"{clauses[0]} . {clauses[1]} . x{number}"
        tone = list(states.values())
        label = "1" if tone == ["Negative"] * 2 else "3" if tone == ["Positive"] * 2 else "2"
        split = "validation" if number % 5 == 4 else "train"
        rows.append({"key": text_key(text), "text": text, "group": f"g{number // 2}", "label": label, "split": split})
        cells += [{"key": text_key(text), "concept": name, "state": state} for name, state in states.items()]
    types = {"key": "str", "concept": "str", "state": "str"}
    people = pd.DataFrame(cells[: 2 * labelled], columns=list(types)).astype(types)
    return FewLabelTask(pd.DataFrame(rows), people, pd.DataFrame(cells[2 * labelled :]))


def accuracy(labels: pd.DataFrame, hidden: pd.DataFrame) -> float:
    """Return the share of the hidden cells whose label is right; an abstention is wrong."""
    both = hidden.merge(labels, on=["key", "concept"], suffixes=("", "_given"))
    assert len(both) == len(hidden)
    return float((both["state"] == both["state_given"]).mean())
