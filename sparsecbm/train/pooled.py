"""Texts pooled under the masks of concepts, computed once for everything that is fitted on them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sparsecbm.base.progress import progress
from sparsecbm.model.batches import batch_by_length, pad
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import inference_mode
from sparsecbm.train.examples import Examples


def pooled_under_masks(
    model: ConceptBottleneck, data: Examples, concepts: Sequence[str] | None = None, batch_size: int = 32
) -> dict[str, Tensor]:
    """Every text pooled under the mask of every concept; one call for each batch covers all masks.

    Args:
        concepts: the concepts whose masks are used; all by default

    Returns:
        concept -> [texts, hidden], float32, on the CPU
    """
    concepts = model.concept_set.names if concepts is None else concepts
    pooled: dict[str, Tensor] = {}
    with inference_mode(model):
        for indices in progress(batch_by_length(data.lengths, batch_size), "pool texts", "batch"):
            ids, mask = pad([data.rows[i] for i in indices], model.tokenizer.pad_token_id)
            rows = dict.fromkeys(concepts, torch.arange(len(ids), device=model.device))
            for name, texts in model.represent(ids.to(model.device), mask.to(model.device), rows).items():
                if name not in pooled:
                    pooled[name] = torch.zeros(len(data), texts.shape[-1])
                pooled[name][indices] = texts.float().cpu()
    return pooled
