"""Texts as concepts' subnetworks see them: pooled under masks, once, for whatever is fitted on them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sparsecbm.model.batches import batch_by_length, pad
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import inference_mode
from sparsecbm.train.examples import Examples


def pooled_under_masks(
    model: ConceptBottleneck, data: Examples, concepts: Sequence[str] | None = None, batch_size: int = 32
) -> dict[str, Tensor]:
    """Every text pooled under the mask of every concept, all masks in one call a batch.

    Args:
        concepts: whose masks; by default every concept's

    Returns:
        concept -> [texts, hidden], float32, on the CPU
    """
    concepts = model.concept_set.names if concepts is None else concepts
    found: dict[str, Tensor] = {}
    with inference_mode(model):
        for members in batch_by_length(data.lengths, batch_size):
            ids, mask = pad([data.rows[i] for i in members], model.tokenizer.pad_token_id)
            rows = dict.fromkeys(concepts, torch.arange(len(ids), device=model.device))
            for name, texts in model.represent(ids.to(model.device), mask.to(model.device), rows).items():
                if name not in found:
                    found[name] = torch.zeros(len(data), texts.shape[-1])
                found[name][members] = texts.float().cpu()
    return found
