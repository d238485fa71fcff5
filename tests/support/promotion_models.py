"""Variants of models for tests of promotion."""

import torch

from sparsecbm.api import SparseCBM
from tests.support.tiny_models import CONCEPTS


def uniform_training_means(model: SparseCBM) -> dict:
    """Return uniform training means for a model without training."""
    uniform = {concept.name: dict.fromkeys(concept.states, 1 / len(concept)) for concept in model.concept_set}
    return {"activations": uniform, "concept_shares": uniform}


@torch.no_grad()
def blind_to(model: SparseCBM, concept: str) -> SparseCBM:
    """Change a model so that it predicts the fallback state of a concept for every text."""
    model.concept_heads.heads[CONCEPTS.names.index(concept)].weight.zero_()
    return model
