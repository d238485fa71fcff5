"""Masks by hand: exact counts, ties, and pruned weights that stay pruned."""

import pytest
import torch

from sparsecbm.base.errors import ConfigError, PruningError
from sparsecbm.pruning.select import prune_to


def dense(scores):
    return {layer: torch.ones_like(values, dtype=torch.bool) for layer, values in scores.items()}


def bits(mask):
    return mask.int().tolist()


TWO = {"low": torch.tensor([[1.0, 4.0], [3.0, 2.0]]), "high": torch.tensor([[5.0, 8.0, 7.0, 6.0]])}


def test_by_layer_by_hand():
    masks = prune_to(TWO, dense(TWO), 0.5)
    assert list(masks) == ["low", "high"]
    assert bits(masks["low"]) == [[0, 1], [1, 0]]
    assert bits(masks["high"]) == [[0, 1, 1, 0]]


def test_global_by_hand():
    masks = prune_to(TWO, dense(TWO), 0.5, scope="global")
    assert bits(masks["low"]) == [[0, 0], [0, 0]]
    assert bits(masks["high"]) == [[1, 1, 1, 1]]
    masks = prune_to(TWO, dense(TWO), 0.25, scope="global")
    assert bits(masks["low"]) == [[0, 1], [1, 0]]


def test_a_sparsity_of_zero_drops_nothing():
    for scope in ("layer", "global"):
        assert all(mask.all() for mask in prune_to(TWO, dense(TWO), 0.0, scope=scope).values())


@pytest.mark.parametrize(
    ("sparsity", "dropped"), [(0.0, 0), (0.04, 0), (0.05, 1), (0.1, 1), (0.25, 3), (0.94, 9), (0.95, 10)]
)
def test_counts_round_to_the_nearest_and_a_half_rounds_up(sparsity, dropped):
    scores = {"a": torch.arange(10.0)}
    assert int((~prune_to(scores, dense(scores), sparsity)["a"]).sum()) == dropped


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_first_of_equal_scores_stay_and_counts_are_exact(scope):
    scores = {"a": torch.zeros(3, 4), "b": torch.zeros(8)}
    masks = prune_to(scores, dense(scores), 0.5, scope=scope)
    if scope == "layer":
        assert masks["a"].view(-1).tolist() == [True] * 6 + [False] * 6
        assert masks["b"].tolist() == [True] * 4 + [False] * 4
    else:
        assert masks["a"].view(-1).tolist() == [True] * 10 + [False] * 2
        assert not masks["b"].any()


def test_the_first_weights_at_the_threshold_stay():
    scores = {"a": torch.tensor([2.0, 1.0, 2.0, 9.0, 2.0, 0.0])}
    assert bits(prune_to(scores, dense(scores), 0.5)["a"]) == [1, 0, 1, 1, 0, 0]


@pytest.mark.parametrize("sparsity", [0.1, 0.333, 0.75, 0.9])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_selection_equals_a_stable_sort(scope, sparsity):
    """The oracle sorts all scores and keeps the first. Scores are in tenths, so hundreds of them are equal."""
    g = torch.Generator().manual_seed(0)
    scores = {
        "a": torch.randn(40, 30, generator=g).mul(10).round(),
        "b": torch.randn(7, 11, generator=g).mul(10).round(),
    }
    before = {layer: torch.rand(values.shape, generator=g) > 0.08 for layer, values in scores.items()}
    groups = [["a", "b"]] if scope == "global" else [["a"], ["b"]]
    masks = prune_to(scores, before, sparsity, scope=scope)
    for layers in groups:
        flat = torch.cat([scores[layer].view(-1) for layer in layers])
        in_use = torch.cat([before[layer].view(-1) for layer in layers])
        keep = len(flat) - round(sparsity * len(flat))
        order = flat.masked_fill(~in_use, float("-inf")).argsort(descending=True, stable=True)
        expected = torch.zeros_like(in_use)
        expected[order[:keep]] = True
        assert torch.equal(torch.cat([masks[layer].view(-1) for layer in layers]), expected)


def test_a_pruned_weight_stays_pruned_unless_it_may_regrow():
    scores = {"a": torch.tensor([9.0, 8.0, 1.0, 2.0, 3.0, 4.0])}
    before = {"a": torch.tensor([False, True, True, True, True, True])}
    assert bits(prune_to(scores, before, 0.5)["a"]) == [0, 1, 0, 0, 1, 1]
    assert bits(prune_to(scores, before, 0.5, regrow=True)["a"]) == [1, 1, 0, 0, 0, 1]
    assert bits(before["a"]) == [0, 1, 1, 1, 1, 1]  # unchanged


def test_masks_of_a_rising_schedule_are_nested():
    g = torch.Generator().manual_seed(0)
    masks = {"a": torch.ones(30, 20, dtype=torch.bool)}
    for sparsity in (0.0, 0.3, 0.3, 0.7):
        new = prune_to({"a": torch.rand(30, 20, generator=g)}, masks, sparsity)
        assert int((~new["a"]).sum()) == round(600 * sparsity)
        assert not (new["a"] & ~masks["a"]).any()
        masks = new


def test_more_dropped_weights_than_the_target_raise_an_error():
    before = {"low": torch.tensor([[True, False], [False, False]]), "high": torch.ones(1, 4, dtype=torch.bool)}
    with pytest.raises(
        PruningError, match=r"layer low: 3 of 4 weights are dropped already, more than a sparsity of 0\.5"
    ):
        prune_to(TWO, before, 0.5)
    with pytest.raises(PruningError, match="all layers together: 3 of 8 weights"):
        prune_to(TWO, before, 0.25, scope="global")
    assert sum(int(mask.sum()) for mask in prune_to(TWO, before, 0.5, scope="global").values()) == 4
    assert bits(prune_to(TWO, before, 0.5, regrow=True)["low"]) == [[0, 1], [1, 0]]


def test_scores_of_two_types_are_compared_in_the_more_precise_one():
    # A third in float32 is above a third in float64 by 1e-8.
    scores = {"a": torch.tensor([1 / 3]), "b": torch.tensor([1 / 3], dtype=torch.float64)}
    masks = prune_to(scores, dense(scores), 0.5, scope="global")
    assert (masks["a"].item(), masks["b"].item()) == (True, False)
    swapped = {"b": scores["b"], "a": scores["a"]}
    assert prune_to(swapped, dense(swapped), 0.5, scope="global")["a"].item() is True


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, float("nan")])
def test_a_sparsity_out_of_range_raises_an_error(sparsity):
    with pytest.raises(ConfigError, match=r"sparsity is in \[0, 1\)"):
        prune_to(TWO, dense(TWO), sparsity)


def test_the_error_for_invalid_input_names_the_layer():
    with pytest.raises(ConfigError, match=r"unknown threshold 'globl'\. Did you mean 'global'"):
        prune_to(TWO, dense(TWO), 0.5, scope="globl")
    for value in (float("nan"), float("inf")):
        with pytest.raises(PruningError, match="layer high: scores hold NaN or infinity"):
            prune_to(TWO | {"high": torch.tensor([[5.0, value, 7.0, 6.0]])}, dense(TWO), 0.5)
    with pytest.raises(PruningError, match="different layers: high"):
        prune_to(TWO, {"low": dense(TWO)["low"]}, 0.5)
    with pytest.raises(PruningError, match="different layers: there are none"):
        prune_to({}, {}, 0.5)
    with pytest.raises(PruningError, match="layer low: the mask must be boolean"):
        prune_to(TWO, dense(TWO) | {"low": torch.ones(2, 2)}, 0.5)
    with pytest.raises(PruningError, match=r"layer low: the mask must be boolean and of shape \[2, 2\]"):
        prune_to(TWO, dense(TWO) | {"low": torch.ones(4, dtype=torch.bool)}, 0.5)
