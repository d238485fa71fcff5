"""What an annotated table holds, in numbers."""

import pandas as pd

from sparsecbm.base.concepts import ConceptSet


def summarise(frame: pd.DataFrame, concept_set: ConceptSet) -> dict:
    """For each concept: rows by state (`missing` for none) and by source, and the mean confidence where given."""
    summary = {}
    for concept in concept_set:
        state, confidence = frame[f"concept.{concept.name}"], frame[f"confidence.{concept.name}"]
        counts = {name: int((state == name).sum()) for name in concept.states}
        sources = frame[f"source.{concept.name}"].value_counts()
        summary[concept.name] = {
            "states": counts,
            "missing": int(state.isna().sum()),
            "sources": {name: int(count) for name, count in sources.items()},
            "mean_confidence": None if confidence.isna().all() else round(float(confidence.mean()), 6),
        }
    return summary
