"""What concepts read when their subnetworks are taken away: the mask-based estimate of what losing a concept does.

Either is concept -> [texts, states], activations as the label head sees them, for `effects.concept_replacement`.
"""

import numpy as np
import pandas as pd
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.evaluate.causal.effects import predict_activations
from sparsecbm.evaluate.pooled import pooled_texts, under
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.heads import activate
from sparsecbm.model.masks import MaskSet


def without_own_weights(model: ConceptBottleneck, frame: pd.DataFrame, batch_size: int = 32) -> dict[str, np.ndarray]:
    """Each concept through its mask without the weights that it alone keeps.

    Raises:
        ModelError: the model has no masks.
    """
    return predict_activations(without_exclusive(model), frame["text"].tolist(), batch_size)


def without_exclusive(model: ConceptBottleneck) -> ConceptBottleneck:
    """The same model under masks without the weights that one concept alone keeps; the given one stays as it is.

    Raises:
        ModelError: the model has no masks.
    """
    if not model.masked:
        raise ModelError("the model is dense: no weight is one concept's own; prune it first")
    masks = model.masks
    exclusive = [masks.exclusive(name).bits for name in masks.concepts]
    bits = {
        layer: rows & ~torch.stack([own[layer] for own in exclusive]).to(rows.device)
        for layer, rows in masks.bits.items()
    }
    return under(model, MaskSet(masks.concepts, masks.shapes, bits))


@torch.inference_mode()
def under_other_masks(model: ConceptBottleneck, frame: pd.DataFrame, batch_size: int = 32) -> dict[str, np.ndarray]:
    """Each concept's own head on the texts through the masks of the others; the mean of what it reads there.

    Raises:
        ModelError: the model has no masks, or one concept only.
    """
    if len(model.concept_set) < 2:
        raise ModelError("a model of one concept has no other masks to read it through")
    pooled = pooled_texts(model, frame, batch_size)
    kind, found = model.settings.activation, {}
    for name in model.concept_set.names:
        head = model.concept_heads.head(name)
        others = [torch.from_numpy(texts).to(model.device) for mask, texts in pooled.texts.items() if mask != name]
        found[name] = np.mean([activate(head(texts).double(), kind).cpu().numpy() for texts in others], axis=0)
    return found
