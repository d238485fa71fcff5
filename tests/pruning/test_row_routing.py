"""The rows of each mask, by hand."""

import pytest
import torch

from sparsecbm.pruning.row_routing import route_batch

EVERY = [0, 1, 2, 3, 4]
ROUTES = {
    "all": [{"food": EVERY, "noise": EVERY}] * 4,
    "sampled": [{"food": EVERY}, {"noise": EVERY}] * 2,
    "split": [{"food": [0, 2, 4], "noise": [1, 3]}, {"food": [1, 3], "noise": [0, 2, 4]}] * 2,
}


@pytest.mark.parametrize("routing", list(ROUTES))
def test_routes_by_hand(routing):
    """Sampled batches use concepts in turn. Split batches use one mask for each row, and each mask in turn."""
    for step, expected in enumerate(ROUTES[routing]):
        routes = route_batch(routing, ("food", "noise"), torch.arange(5), step)
        assert {name: rows.tolist() for name, rows in routes.items()} == expected


def test_a_mask_without_rows_is_skipped():
    routes = route_batch("split", ("food", "noise", "service"), torch.arange(2), step=1)
    assert {name: rows.tolist() for name, rows in routes.items()} == {"noise": [0], "service": [1]}
