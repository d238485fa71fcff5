"""The predictions of a model on a table, with the gold states. Every score starts from them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.data.source_table import BLANK
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.heads import apply_label_head, concatenated_activations
from sparsecbm.model.prediction import softmax
from sparsecbm.train.examples import class_indices


@dataclass(frozen=True)
class VariablePredictions:
    """Predictions of the label or of one concept on a split.

    Attributes:
        states: names, in the order of the indices
        gold: [texts], int64, indices of the gold states; -100 where unknown
        probabilities: [texts, states], as predicted
        clusters: [texts]; texts of one cluster are not independent evidence
    """

    states: tuple[str, ...]
    gold: np.ndarray
    probabilities: np.ndarray
    clusters: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Index of the most probable state of each text, [texts]."""
        return self.probabilities.argmax(-1)


@dataclass(frozen=True)
class SplitPredictions:
    """The predictions of a model on a split.

    Attributes:
        label: from the model's own activations
        concepts: by name; empty without a bottleneck
        annotated: name -> [texts], whether somebody annotated the cell
        label_hard: [texts, classes], probabilities of the label from one-hot concepts, with the label head as trained
        label_hard_refitted: the same with the model's `hard_head`; None if it has none
    """

    label: VariablePredictions
    concepts: dict[str, VariablePredictions]
    annotated: dict[str, np.ndarray]
    label_hard: np.ndarray | None
    label_hard_refitted: np.ndarray | None


def predict_split(model: ConceptBottleneck, frame: pd.DataFrame, logits: Logits | None = None) -> SplitPredictions:
    """Run a model over an annotated table.

    Args:
        logits: of the table's texts, if they are known already
    """
    logits = logits or model.logits(frame["text"].tolist())
    label = VariablePredictions(
        model.concept_set.label.states,
        class_indices(frame["label"], model.concept_set.label).numpy(),
        softmax(logits.label),
        frame["group"].astype(str).to_numpy(),
    )
    if not model.has_bottleneck:
        return SplitPredictions(label, {}, {}, None, None)
    concepts, annotated = {}, {}
    for concept in model.concept_set:
        concepts[concept.name] = VariablePredictions(
            concept.states,
            class_indices(frame[f"concept.{concept.name}"], concept).numpy(),
            softmax(logits.concepts[concept.name]),
            clusters_of(frame, concept.name),
        )
        annotated[concept.name] = (frame[f"source.{concept.name}"] != BLANK).to_numpy()
    hard = concatenated_activations(logits.concepts, "hard")
    refitted = None if model.hard_head is None else softmax(apply_label_head(model.hard_head, hard))
    return SplitPredictions(label, concepts, annotated, softmax(apply_label_head(model.label_head, hard)), refitted)


def clusters_of(frame: pd.DataFrame, concept: str) -> np.ndarray:
    """The cluster of each row for a concept, [texts]: rows that share a clause, or else a group, are one cluster."""
    group = frame["group"].astype(str)
    column = f"cluster.{concept}"
    if column not in frame:
        return group.to_numpy()
    return frame[column].where(frame[column].notna(), "group " + group).astype(str).to_numpy()
