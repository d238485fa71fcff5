"""Read many token sequences, each for the one concept that is asked about it.

Perturbed texts come by the thousand, and each is of interest to one concept only. They share batches: what lies below
the first masked block runs once a sequence, and above it a row goes through the subnetworks that it is asked for.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from sparsecbm.model.batches import pad
from sparsecbm.model.cbm import ConceptBottleneck

Question = tuple[tuple[int, ...], str]  # token ids, and the name of a concept


@torch.inference_mode()
def read_asked(model: ConceptBottleneck, questions: Sequence[Question], batch_tokens: int = 2048) -> list[np.ndarray]:
    """Logits of the concept of each question, [states] each; what is asked twice is read once.

    Args:
        model: in eval mode, best as `explain.subject.prepared` gives it
        batch_tokens: the most tokens of one batch, padding included
    """
    asked: dict[tuple[int, ...], set[str]] = defaultdict(set)
    for ids, concept in questions:
        asked[ids].add(concept)
    found: dict[Question, np.ndarray] = {}
    for batch in _batches(sorted(asked, key=lambda ids: (-len(ids), ids)), batch_tokens):
        ids, mask = (t.to(model.device) for t in pad(batch, model.tokenizer.pad_token_id))
        places = {name: [i for i, row in enumerate(batch) if name in asked[row]] for name in model.concept_set.names}
        rows = {name: torch.tensor(of_name, device=model.device) for name, of_name in places.items() if of_name}
        for name, logits in model.concept_heads(model.represent(ids, mask, rows)).items():
            for place, values in zip(places[name], logits.double().cpu().numpy(), strict=True):
                found[batch[place], name] = values
    return [found[question] for question in questions]


def _batches(rows: list[tuple[int, ...]], batch_tokens: int) -> Iterator[list[tuple[int, ...]]]:
    """Sequences that come longest first, in batches."""
    start = 0
    while start < len(rows):
        count = max(1, batch_tokens // max(1, len(rows[start])))
        yield rows[start : start + count]
        start += count
