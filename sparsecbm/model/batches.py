"""From texts to padded batches of texts of similar length."""

import threading
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedTokenizerBase

from sparsecbm.base.length_batches import batch_by_length as batch_by_length

# Batches are sorted by length within pools of this many batches: little padding, enough shuffling.
POOL = 32
# A fast tokenizer keeps the length to cut at as a setting of its own, and fails if two threads set and use it at once.
_tokenizer_lock = threading.Lock()


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> BatchEncoding:
    """Texts, at least one, as tokens, special ones included, cut at `max_length`; one thread at a time."""
    with _tokenizer_lock:
        encoded: BatchEncoding = tokenizer(
            list(texts), truncation=True, max_length=max_length, return_attention_mask=False
        )
    return encoded


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of each text, special tokens included, cut at `max_length`."""
    if not texts:
        return []
    ids: list[list[int]] = tokenize(tokenizer, texts, max_length)["input_ids"]
    return ids


def pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Pad token ids on the right to the longest row.

    Returns:
        ids and mask, each [batch, tokens], int64; the mask is 0 on padding
    """
    longest = max(1, max(len(row) for row in rows))
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    # A model needs at least one token, so a text without tokens gets one padding token.
    mask[mask.sum(1) == 0, 0] = 1
    return ids, mask


def batch_by_tokens(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Batches of row numbers, longest rows first, bounded by their tokens, padding included.

    No row of a batch is shorter than half of the longest one, so at most half of a batch is padding.

    Args:
        max_tokens: of a batch; a row that is longer is a batch of its own
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    longest = 0
    for row in order:
        if not batches or (len(batches[-1]) + 1) * longest > max_tokens or 2 * lengths[row] < longest:
            batches.append([])
            longest = lengths[row]
        batches[-1].append(row)
    return batches


def shuffle_batches(lengths: Sequence[int], batch_size: int, seed: int) -> list[list[int]]:
    """Batches of row numbers for one epoch: rows are shuffled, sorted by length in pools, and batches shuffled."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(lengths), generator=generator).tolist()
    batches = []
    for start in range(0, len(order), batch_size * POOL):
        pool = sorted(order[start : start + batch_size * POOL], key=lambda i: lengths[i])
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
