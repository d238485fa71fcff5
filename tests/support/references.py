"""References whose predictions are set by hand, so that the effect of edits can be worked out."""

from dataclasses import replace

import numpy as np
import torch

from sparsecbm.api import SparseCBM
from sparsecbm.intervene.reference import Reference, predict_reference
from tests.support.planted_model import planted_masks, planted_model
from tests.support.tiny_tables import annotated


def label_follows_food(backbone) -> SparseCBM:
    """The planted model: its label is 1, 2 or 3 where food is Negative, unknown or Positive, by either head."""
    model = planted_model(backbone)
    model.masks = planted_masks()
    weight = torch.zeros(3, 5)
    weight[0, 0] = weight[2, 1] = weight[1, 2] = 20.0
    model.label_head.set(weight, torch.zeros(3))
    model.add_hard_head().set(weight, torch.zeros(3))
    return model


def reference_with_mistakes(model: SparseCBM, rows: int = 40, wrong: int = 4) -> Reference:
    """Tiny texts; the first `wrong` of them get the state of food after the annotated one."""
    reference = predict_reference(model, annotated(rows, seed=0))
    logits = np.where(np.eye(3)[reference.gold["food"]] == 1, 4.0, -4.0).astype(np.float32)
    logits[:wrong] = np.roll(logits[:wrong], 1, axis=1)
    return replace(reference, logits={**reference.logits, "food": logits})
