"""Models whose readings hang on single bits."""

import pytest
import torch

from tests.model.test_masked import random_masks
from tests.tiny_tables import annotated


@pytest.fixture
def lively(model):
    """The tiny model with weights so large that masks matter, half of the bits set; it reads every state somewhere."""
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "label_head" not in name:
                weight.copy_(0.4 * torch.randn(weight.shape, generator=draw))
    model.masks = random_masks(model)
    for name, logits in model.logits(annotated(40, seed=9)["text"].tolist()).concepts.items():
        with torch.no_grad():
            model.concept_heads.head(name).bias -= torch.from_numpy(logits).mean(0)
    return model
