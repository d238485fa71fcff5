"""Texts as drift sees them: what a model makes of them, what they look like, and how people labelled them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sparsecbm.base.metrics import MISSING
from sparsecbm.drift.outputs import LABEL, Outputs, compute_outputs
from sparsecbm.drift.text_figures import TextFigures, describe_texts
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.heads import apply_label_head


@dataclass(frozen=True, eq=False)
class Sample:
    """One side of a comparison: the reference, or a window of new texts.

    Attributes:
        gold: variable (a concept, or `label`) -> [texts], indices of annotated states, -100 where there is none
        label_from_gold: [texts], the label that the model computes from the annotated concepts; -100 if one is missing
    """

    outputs: Outputs
    figures: TextFigures
    gold: dict[str, np.ndarray]
    label_from_gold: np.ndarray

    def __len__(self) -> int:
        return len(self.label_from_gold)


def take_sample(
    model: ConceptBottleneck,
    texts: Sequence[str],
    gold: Mapping[str, np.ndarray],
    vocabulary: Collection[str],
    kept: tuple[int, int],
) -> Sample:
    """Run a model over texts and describe them.

    Args:
        gold: as in `Sample`; variables may be missing
        vocabulary: words of the training texts
        kept: most texts whose representations are kept, and the seed that draws them

    Raises:
        ModelError: the model predicts no concepts.
    """
    unknown = np.full(len(texts), MISSING, np.int64)
    whole = {name: gold.get(name, unknown) for name in (LABEL, *model.concept_set.names)}
    outputs = compute_outputs(model, texts, *kept)
    return Sample(outputs, describe_texts(texts, vocabulary), whole, _label_from_gold(model, whole))


def _label_from_gold(model: ConceptBottleneck, gold: Mapping[str, np.ndarray]) -> np.ndarray:
    """The label of one-hot annotated concepts, through the label head for them, [texts]."""
    names = model.concept_set.names
    complete = np.all([gold[name] != MISSING for name in names], axis=0)
    one_hot = [np.eye(len(model.concept_set[name]), dtype=np.float32)[gold[name][complete]] for name in names]
    labels = np.full(len(complete), MISSING, np.int64)
    head = model.hard_head or model.label_head
    labels[complete] = apply_label_head(head, np.concatenate(one_hot, axis=1)).argmax(-1)
    return labels
