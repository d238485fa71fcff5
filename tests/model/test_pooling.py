"""Pooling by hand, without padding."""

import pytest
import torch

from sparsecbm.model.pooling import pool

STATES = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])  # one text, two tokens, one padding
MASK = torch.tensor([[1, 1, 0]])


@pytest.mark.parametrize(("kind", "expected"), [("mean", [2.0, 3.0]), ("cls", [1.0, 2.0]), ("last_token", [3.0, 4.0])])
def test_pooling_by_hand(kind, expected):
    assert pool(STATES, MASK, kind).tolist() == [expected]


def test_without_the_mask_padding_would_count():
    assert pool(STATES, torch.ones_like(MASK), "mean").tolist() != [[2.0, 3.0]]


def test_the_error_for_an_unknown_kind_lists_the_choices():
    with pytest.raises(ValueError, match="choices: mean, cls, last_token"):
        pool(STATES, MASK, "max")
