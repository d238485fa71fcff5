"""Texts pooled under the masks of concepts, and their logits, computed once for everything that is fitted on them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sparsecbm.base.progress import progress
from sparsecbm.model.backbone import hidden_size
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.inference import inference_mode
from sparsecbm.train.examples import Examples
from sparsecbm.train.processes import add_up, share


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
    pooled = {name: torch.zeros(len(data), hidden_size(model.backbone)) for name in concepts}
    with inference_mode(model):
        for indices in progress(share(batch_by_length(data.lengths, batch_size)), "pool texts", "batch"):
            ids, mask = pad([data.rows[i] for i in indices], model.tokenizer.pad_token_id)
            rows = dict.fromkeys(concepts, torch.arange(len(ids), device=model.device))
            for name, texts in model.represent(ids.to(model.device), mask.to(model.device), rows).items():
                pooled[name][indices] = texts.float().cpu()
    add_up(pooled.values())
    return pooled


def logits_of(model: ConceptBottleneck, texts: Sequence[str], batch_size: int = 32) -> Logits:
    """Logits of texts, as `model.logits` gives them, with the batches shared among processes."""
    token_ids = encode(model.tokenizer, texts, model.settings.max_length)
    batches = share(batch_by_length([len(ids) for ids in token_ids], batch_size))
    logits = model.logits_in_batches(token_ids, progress(batches, "predict", "batch"))
    add_up(map(torch.from_numpy, (logits.label, *logits.concepts.values())))
    return logits
