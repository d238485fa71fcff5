"""Small valid tables, into which tests insert faults."""

import pandas as pd

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.params import Validate
from sparsecbm.data.source_table import canonical

CONCEPTS = ConceptSet(
    (Concept("food"), Concept("price", ("low", "high"))),
    Concept("rating", ("1", "2", "3")),
)
MANIFEST = {
    "source": "table",
    "licence": "CC0-1.0",
    "files": [{"name": "small.csv", "sha256": "0" * 64, "rows": 12}],
    "vocabulary": CONCEPTS.to_dict(),
}


def good_rows(count: int, name: str = "a") -> pd.DataFrame:
    """Return rows with distinct ids, texts and groups, and states in turn."""
    frame = pd.DataFrame(
        {
            "id": [f"{name}{i}" for i in range(count)],
            "text": [f"the soup of table {name} {i} was fine" for i in range(count)],
            "label": [CONCEPTS.label.states[i % 3] for i in range(count)],
            "concept.food": [CONCEPTS["food"].states[i % 3] for i in range(count)],
            "concept.price": [CONCEPTS["price"].states[i % 2] for i in range(count)],
            "file": "small.csv",
            "row": range(1, count + 1),
        }
    )
    return canonical(frame, CONCEPTS).drop(columns="split")


def good_splits() -> dict[str, pd.DataFrame]:
    """Return six rows each for train, validation and test."""
    return {name: good_rows(6, name) for name in ("train", "validation", "test")}


def limits(**changes) -> Validate:
    """Return validation settings that allow half of the rows to be bad."""
    return Validate(**({"max_words": 50, "quarantine_share": 0.5, "min_state_share": 0.02} | changes))
