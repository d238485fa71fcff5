"""Concept logits of many token sequences, each for the one concept that is of interest.

There are thousands of perturbed texts, each for one concept. They share batches: the blocks below the first masked one
run once for each sequence, and above it a sequence goes through the subnetworks of its own concepts only.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from sparsecbm.base.progress import progress
from sparsecbm.model.batches import pad
from sparsecbm.model.cbm import ConceptBottleneck

Query = tuple[tuple[int, ...], str]  # token ids, and the name of a concept


@torch.inference_mode()
def concept_logits_for(
    model: ConceptBottleneck, queries: Sequence[Query], batch_tokens: int = 2048
) -> list[np.ndarray]:
    """The logits of the concept of each query, [states] each. Equal queries are computed once.

    Args:
        model: in eval mode, best prepared by `explain.subject.prepared`
        batch_tokens: the most tokens of one batch, with padding
    """
    concepts: dict[tuple[int, ...], set[str]] = defaultdict(set)
    for ids, concept in queries:
        concepts[ids].add(concept)
    results: dict[Query, np.ndarray] = {}
    batches = list(_batches(sorted(concepts, key=lambda ids: (-len(ids), ids)), batch_tokens))
    for batch in progress(batches, "predict changed texts", "batch"):
        ids, mask = (t.to(model.device) for t in pad(batch, model.tokenizer.pad_token_id))
        by_concept = {
            name: [i for i, row in enumerate(batch) if name in concepts[row]] for name in model.concept_set.names
        }
        rows = {name: torch.tensor(indices, device=model.device) for name, indices in by_concept.items() if indices}
        for name, logits in model.concept_heads(model.represent(ids, mask, rows)).items():
            for index, values in zip(by_concept[name], logits.double().cpu().numpy(), strict=True):
                results[batch[index], name] = values
    return [results[query] for query in queries]


def _batches(rows: list[tuple[int, ...]], batch_tokens: int) -> Iterator[list[tuple[int, ...]]]:
    """Batches of sequences that are sorted by length, the longest first."""
    start = 0
    while start < len(rows):
        count = max(1, batch_tokens // max(1, len(rows[start])))
        yield rows[start : start + count]
        start += count
