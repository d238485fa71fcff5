"""Counts of an annotated table."""

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.numbers import six_decimals


def summarise(frame: pd.DataFrame, concept_set: ConceptSet) -> dict:
    """For each concept the rows by state (`missing` without one) and by source, and the mean confidence."""
    summary = {}
    for concept in concept_set:
        state, confidence = frame[f"concept.{concept.name}"], frame[f"confidence.{concept.name}"]
        counts = {name: int((state == name).sum()) for name in concept.states}
        sources = frame[f"source.{concept.name}"].value_counts()
        summary[concept.name] = {
            "states": counts,
            "missing": int(state.isna().sum()),
            "sources": {name: int(count) for name, count in sources.items()},
            "mean_confidence": six_decimals(confidence.mean()),
        }
    return summary
