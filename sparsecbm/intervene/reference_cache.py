"""References whose predictions are kept in a cache, so that a table is predicted once for a model."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from sparsecbm.intervene.reference import Reference, annotated_reference, predict_reference
from sparsecbm.intervene.tensor_cache import TensorCache, cache_key
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import model_checksum, text_checksum


def load_or_predict(
    model: ConceptBottleneck, frame: pd.DataFrame, concepts: Sequence[str] | None, cache: TensorCache | None
) -> Reference:
    """Return `predict_reference`, with predictions of a cache if it has them; else they are kept there.

    The cache holds no annotations. These come from the table, so corrected ones count at once.

    Args:
        concepts: those that are predicted; all by default

    Raises:
        InterventionError: as `predict_reference`.
    """
    if cache is None or not model.has_bottleneck or not len(frame):
        return predict_reference(model, frame, concepts=concepts)
    names = list(model.concept_set.names if concepts is None else concepts)
    checksums = [text_checksum(text) for text in frame["text"]]
    key = cache_key("predictions", model_checksum(model), names, checksums)
    tensors = cache.load(key)
    if tensors is not None:
        logits, pooled = (
            {name: np.asarray(tensors[f"{kind}/{name}"]) for name in names} for kind in ("logits", "pooled")
        )
        return annotated_reference(model, frame, logits, pooled)
    reference = predict_reference(model, frame, concepts=concepts)
    kept = {f"logits/{name}": torch.from_numpy(values) for name, values in reference.logits.items()}
    kept |= {f"pooled/{name}": torch.from_numpy(values) for name, values in reference.pooled.items()}
    cache.store(key, kept, checksums)
    return reference
