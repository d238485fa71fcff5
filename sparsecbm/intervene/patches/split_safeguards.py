"""Safeguards of a patch from the annotated splits of a workspace.

Half of a split and some training texts protect. Side effects are measured on the other half.
"""

from collections.abc import Sequence
from pathlib import Path

from sparsecbm.base.params import Params
from sparsecbm.data.tables import read_split, split_names
from sparsecbm.intervene.patches.make import Safeguards
from sparsecbm.intervene.patches.protection import protect
from sparsecbm.intervene.reference import Reference, predict_reference
from sparsecbm.model.cbm import ConceptBottleneck


def safeguards_from(
    model: ConceptBottleneck, folder: Path, split: str, concept: str, texts: Sequence[str], params: Params
) -> Safeguards:
    """Protect a concept's correct predictions, and predict the texts for side effects.

    Args:
        folder: of the annotated splits
        texts: that a patch is made for; their groups do not protect

    Raises:
        DataError: there is no such split.
        InterventionError: the concept is unknown, or the model is dense.
    """
    protecting, held_out = predict_split(model, folder, split).halves(0.5, params.seed)
    if "train" in split_names(folder) and split != "train":
        training = predict_split(model, folder, "train", params.intervene.training_texts, params.seed)
        protecting = protecting.joined(training)
    return Safeguards(protect(model, protecting.without_texts(texts), concept, params.intervene.protect), held_out)


def predict_split(
    model: ConceptBottleneck, folder: Path, split: str, max_texts: int | None = None, seed: int = 0
) -> Reference:
    """Predict a split, or a sample of its texts.

    Raises:
        DataError: there is no such split.
        InterventionError: the model has no concepts.
    """
    frame = read_split(folder, split)
    if max_texts is not None and max_texts < len(frame):
        frame = frame.sample(max_texts, random_state=seed)
    return predict_reference(model, frame)
