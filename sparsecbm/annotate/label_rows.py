"""Probabilities of states as the rows of a table of labels."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.base.numbers import DECIMALS


@dataclass(frozen=True)
class Origin:
    """What gave the labels, as the columns `model` and `prompt` of a table of labels hold it."""

    model: str
    prompt: str


def learnt_from(version: str, people: pd.DataFrame) -> str:
    """Sixteen hex digits over an annotator's version and the labels of people that it learnt from."""
    ordered = people[["key", "concept", "state"]].sort_values(["key", "concept"])
    told = json.dumps([version, ordered.to_numpy(dtype=object).tolist()])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def state_rows(
    keys: pd.Series, concept: ConceptDefinition, probabilities: np.ndarray, least: float, origin: Origin
) -> list[dict]:
    """A row for each text.

    Below the least confidence, and where two states are as probable, it has no state. It keeps its probabilities, which
    say why.

    Args:
        keys: of the texts
        probabilities: [texts, states]; a row of nan has no label at all
        least: confidence below which no state is given
    """
    rounded = np.round(probabilities, DECIMALS)
    states = tuple(concept.states)
    rows = []
    for key, row in zip(keys, rounded.tolist(), strict=True):
        told = {"key": key, "concept": concept.name, "definition": concept.hash}
        told |= {"model": origin.model, "prompt": origin.prompt}
        if not np.isnan(row).any():
            best = max(row)
            sure = best >= least and row.count(best) == 1
            told |= {"state": states[row.index(best)] if sure else None, "confidence": best}
            told["probabilities"] = json.dumps(dict(zip(states, row, strict=True)), ensure_ascii=False)
        rows.append(told)
    return rows
