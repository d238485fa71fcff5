"""A tiny model that predicts each state for some text."""

import torch

from sparsecbm.api import SparseCBM
from tests.support.tiny_models import with_large_weights
from tests.support.tiny_tables import annotated


def make_lively(model: SparseCBM) -> SparseCBM:
    """Change the tiny model: large weights, half of the bits set, and heads without a favourite state."""
    with_large_weights(model)
    for name, logits in model.logits(annotated(40, seed=9)["text"].tolist()).concepts.items():
        with torch.no_grad():
            model.concept_heads.head(name).bias -= torch.from_numpy(logits).mean(0)
    return model
