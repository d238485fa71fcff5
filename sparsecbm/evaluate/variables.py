"""What a model reads on a table, beside the gold: the input of every score."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.heads import LabelHead
from sparsecbm.model.prediction import softmax
from sparsecbm.train.examples import indices
from sparsecbm.train.modes import activations


@dataclass(frozen=True)
class VariablePredictions:
    """Gold class indices, read probabilities and clusters of the label or one concept on a split."""

    states: tuple[str, ...]
    gold: np.ndarray  # [texts], int64, -100 where unknown
    probabilities: np.ndarray  # [texts, states]
    clusters: np.ndarray  # [texts]

    @property
    def predicted(self) -> np.ndarray:
        """Winning class of each text, [texts]."""
        return self.probabilities.argmax(-1)


@dataclass(frozen=True)
class SplitPredictions:
    """A split as read by a model."""

    label: VariablePredictions
    concepts: dict[str, VariablePredictions]
    annotated: dict[str, np.ndarray]  # name -> [texts], whether somebody really annotated the cell
    label_hard: np.ndarray | None  # [texts, classes]: label probabilities from one-hot concepts, head as trained
    label_hard_refitted: np.ndarray | None  # the same by the model's `hard_head`


def predict_split(model: ConceptBottleneck, frame: pd.DataFrame, logits: Logits | None = None) -> SplitPredictions:
    """Run a model over an annotated table.

    Args:
        logits: of its texts, if they were read already
    """
    logits = logits or model.logits(frame["text"].tolist())
    group = frame["group"].astype(str).to_numpy()
    label = VariablePredictions(
        model.concept_set.label.states,
        indices(frame["label"], model.concept_set.label).numpy(),
        softmax(logits.label),
        group,
    )
    if not model.has_bottleneck:
        return SplitPredictions(label, {}, {}, None, None)
    concepts, annotated = {}, {}
    for concept in model.concept_set:
        gold = indices(frame[f"concept.{concept.name}"], concept).numpy()
        clusters = clusters_of(frame, concept.name)
        concepts[concept.name] = VariablePredictions(
            concept.states, gold, softmax(logits.concepts[concept.name]), clusters
        )
        annotated[concept.name] = (frame[f"source.{concept.name}"] != "blank").to_numpy()
    hard = activations(model, logits, "hard")
    refitted = None if model.hard_head is None else softmax(label_logits(model.hard_head, hard))
    return SplitPredictions(label, concepts, annotated, softmax(label_logits(model.label_head, hard)), refitted)


def label_logits(head: LabelHead, inputs: np.ndarray) -> np.ndarray:
    """What a label head makes, [texts, classes], of concept activations side by side, [texts, sum of states]."""
    return inputs @ head.linear.weight.detach().cpu().numpy().T + head.linear.bias.detach().cpu().numpy()


def clusters_of(frame: pd.DataFrame, concept: str) -> np.ndarray:
    """Which rows are not independent evidence on a concept: those that share a clause, or else a group."""
    group = frame["group"].astype(str)
    column = f"cluster.{concept}"
    if column not in frame:
        return group.to_numpy()
    return frame[column].where(frame[column].notna(), "group " + group).astype(str).to_numpy()
