"""Machine labels fill the empty cells of training and validation rows; cells of evaluation splits stay as they are."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sparsecbm.annotate.combine import CombinedLabels
from sparsecbm.annotate.labels import text_key
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.data.source_table import BLANK, share_columns

FILLED = ("train", "validation")  # scores on the other splits are against people


def fill_splits(
    splits: Mapping[str, pd.DataFrame], combined: Mapping[str, CombinedLabels], concept_set: ConceptSet
) -> dict[str, pd.DataFrame]:
    """A copy of the splits whose blank cells in `FILLED` have the machines' state, source and confidence.

    Where the machines gave probabilities, `share.CONCEPT.STATE` has them; every split has these columns then. A cell
    that people labelled, or could not decide, stays as it is.

    Args:
        splits: columns as in `sparsecbm.data.tables`
        combined: concept -> its labels; a concept that is missing is left alone
    """
    labelled = [concept for concept in concept_set if concept.name in combined and len(combined[concept.name].cells)]
    if not labelled:
        return dict(splits)
    filled = {}
    for split, frame in splits.items():
        keys = frame["text"].map(text_key)
        changed: dict[str, pd.Series] = {}
        for concept in labelled:
            labels = combined[concept.name]
            taken = keys.isin(labels.cells.index) & (split in FILLED) & is_blank(frame, concept.name)
            changed |= _fill_concept(frame, keys, taken, labels, concept)
        filled[split] = shares_last(frame.assign(**changed), concept_set)
    return filled


def is_blank(frame: pd.DataFrame, concept: str) -> pd.Series:
    """[rows], whether nobody has labelled the cell, nor tried to."""
    source = frame[f"source.{concept}"]
    return frame[f"concept.{concept}"].isna() & (source.isna() | (source == BLANK))


def _fill_concept(
    frame: pd.DataFrame, keys: pd.Series, taken: pd.Series, labels: CombinedLabels, concept: Concept
) -> dict[str, pd.Series]:
    changed = {}
    for kind, values in (("concept", "state"), ("source", "source"), ("confidence", "confidence")):
        column = frame[f"{kind}.{concept.name}"]
        changed[column.name] = column.mask(taken, keys.map(labels.cells[values])).astype(column.dtype)
    if labels.probabilities.notna().any(axis=None):
        for state in concept.states:
            name = f"share.{concept.name}.{state}"
            before = frame[name] if name in frame else pd.Series(np.nan, frame.index, dtype="float64")
            changed[name] = before.mask(taken, keys.map(labels.probabilities[state])).astype("float64")
    return changed


def shares_last(frame: pd.DataFrame, concept_set: ConceptSet) -> pd.DataFrame:
    """The columns of shares at the end, in the order of concepts and states."""
    shares = [column for column in share_columns(concept_set) if column in frame]
    return frame[[column for column in frame if column not in shares] + shares]
