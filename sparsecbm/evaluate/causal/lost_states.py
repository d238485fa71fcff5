"""Activations of concepts without their subnetworks: a mask-based estimate of the effect of losing a concept.

Both functions give concept -> [texts, states], activations as the label head sees them, for
`effects.concept_replacement`.
"""

import numpy as np
import pandas as pd
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.evaluate.causal.effects import predict_activations
from sparsecbm.evaluate.pooled import pooled_texts
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.exclusive_weights import without_exclusive
from sparsecbm.model.heads import activate
from sparsecbm.model.masked_copy import with_masks


def without_own_weights(model: ConceptBottleneck, frame: pd.DataFrame, batch_size: int = 32) -> dict[str, np.ndarray]:
    """The activations of each concept through its mask without its exclusive weights.

    Raises:
        ModelError: the model has no masks.
    """
    return predict_activations(ablated_model(model), frame["text"].tolist(), batch_size)


def ablated_model(model: ConceptBottleneck) -> ConceptBottleneck:
    """The same model under masks without exclusive weights. The given model does not change.

    Raises:
        ModelError: the model has no masks.
    """
    if not model.masked:
        raise ModelError("the model is dense, so no weight belongs to one concept alone; prune it first")
    return with_masks(model, without_exclusive(model.masks, model.masks.concepts))


@torch.inference_mode()
def under_other_masks(model: ConceptBottleneck, frame: pd.DataFrame, batch_size: int = 32) -> dict[str, np.ndarray]:
    """The mean activations of each concept's own head over the masks of the other concepts.

    Raises:
        ModelError: the model has no masks, or a single concept.
    """
    if len(model.concept_set) < 2:
        raise ModelError("a model of one concept has no other masks; give a model of two or more concepts")
    pooled = pooled_texts(model, frame, batch_size)
    kind, activations = model.settings.activation, {}
    for name in model.concept_set.names:
        head = model.concept_heads.head(name)
        others = [torch.from_numpy(texts).to(model.device) for mask, texts in pooled.texts.items() if mask != name]
        activations[name] = np.mean([activate(head(texts).double(), kind).cpu().numpy() for texts in others], axis=0)
    return activations
