"""Padding and batches of similar length."""

import torch

from sparsecbm.model.batches import batch_by_length, encode, pad, shuffle_batches
from tests.support.tiny_models import tiny_tokenizer


def test_padding_is_on_the_right_and_masked():
    ids, mask = pad([[5, 6, 7], [8]], pad_id=0)
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_a_text_without_tokens_becomes_one_visible_padding_token():
    ids, mask = pad([[], [4]], pad_id=9)
    assert ids.tolist() == [[9], [4]]
    assert mask.tolist() == [[1], [1]]


def test_long_texts_are_cut_and_padding_has_no_fixed_length():
    rows = encode(tiny_tokenizer(), ["the food was good", "bad", ""], max_length=5)
    assert [len(row) for row in rows] == [5, 3, 2]  # [CLS] and [SEP] count
    assert encode(tiny_tokenizer(), [], max_length=5) == []


def test_batches_by_length_cover_every_row_once():
    assert batch_by_length([3, 9, 9, 1], 2) == [[1, 2], [0, 3]]


def test_an_epoch_covers_every_row_once_and_repeats_only_with_its_seed():
    lengths = torch.randint(5, 60, (1000,), generator=torch.Generator().manual_seed(0)).tolist()
    batches = shuffle_batches(lengths, 16, seed=1)
    assert sorted(i for rows in batches for i in rows) == list(range(1000))
    assert shuffle_batches(lengths, 16, seed=1) == batches
    assert shuffle_batches(lengths, 16, seed=2) != batches


def test_buckets_need_little_padding():
    lengths = torch.randint(5, 60, (1000,), generator=torch.Generator().manual_seed(0)).tolist()

    def padded(batches):
        return sum(len(rows) * max(lengths[i] for i in rows) for rows in batches)

    unsorted = [list(range(i, min(i + 16, 1000))) for i in range(0, 1000, 16)]
    assert padded(shuffle_batches(lengths, 16, seed=1)) < 1.1 * sum(lengths) < 1.5 * sum(lengths) < padded(unsorted)
