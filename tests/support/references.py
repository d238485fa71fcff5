"""References with predictions by hand, so that the effects of edits are known."""

from dataclasses import replace

import numpy as np
import torch

from sparsecbm.api import SparseCBM
from sparsecbm.intervene.reference import Reference, predict_reference
from tests.support.planted_model import planted_masks, planted_model
from tests.support.tiny_tables import annotated


def label_follows_food(backbone) -> SparseCBM:
    """Return the planted model; both heads predict label 1, 2 or 3 for food Negative, unknown or Positive."""
    model = planted_model(backbone)
    model.masks = planted_masks()
    weight = torch.zeros(3, 5)
    weight[0, 0] = weight[2, 1] = weight[1, 2] = 20.0
    model.label_head.set(weight, torch.zeros(3))
    model.add_hard_head().set(weight, torch.zeros(3))
    return model


def reference_with_mistakes(model: SparseCBM, rows: int = 40, wrong: int = 4) -> Reference:
    """Return tiny texts; the first `wrong` of them are predicted with the next state of food."""
    reference = predict_reference(model, annotated(rows, seed=0))
    logits = np.where(np.eye(3)[reference.gold["food"]] == 1, 4.0, -4.0).astype(np.float32)
    logits[:wrong] = np.roll(logits[:wrong], 1, axis=1)
    return replace(reference, logits={**reference.logits, "food": logits})
