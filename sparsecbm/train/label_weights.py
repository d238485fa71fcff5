"""How much each concept label counts in the losses: less if a machine gave it, or if whoever gave it was not sure."""

import pandas as pd
import torch
from torch import Tensor

from sparsecbm.base.params import LabelNoise
from sparsecbm.data.source_table import BLANK, HUMAN, NO_MAJORITY

EQUAL_LABELS = LabelNoise()  # every label has weight 1
PEOPLE = (HUMAN, BLANK, NO_MAJORITY)  # sources of labels that no machine gave


def label_weights(frame: pd.DataFrame, concept: str, noise: LabelNoise) -> Tensor:
    """Weight of each text's label of one concept, [rows], float32, from 0 to 1.

    A label without a source counts as a person's. One without a confidence counts as certain.

    Args:
        frame: an annotated table (columns as in `sparsecbm.data.tables`)
    """
    weights = pd.Series(1.0, index=frame.index)
    source, confidence = f"source.{concept}", f"confidence.{concept}"
    if source in frame:
        by_machine = frame[source].notna() & ~frame[source].isin(PEOPLE)
        weights = weights.mask(by_machine, noise.machine_weight)
    if noise.confidence_weights and confidence in frame:
        weights = weights * frame[confidence].astype("float64").fillna(1.0)
    return torch.tensor(weights.to_numpy(), dtype=torch.float32)
