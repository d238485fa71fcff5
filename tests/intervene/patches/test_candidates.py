"""Which bits are looked at, and what a flip does, against flipping it."""

import numpy as np
import pytest
import torch
from sparsecbm.intervene.patches.pool import flip_gains, make_pool

from sparsecbm.intervene.patches.bits import toggled
from sparsecbm.intervene.patches.factors import compute_factors, log_odds

TEXT, STATE = ["the food was good"], torch.tensor([1])


def pool_of(model, **changes):
    _, factors = compute_factors(model, "food", TEXT, STATE)
    given = {
        "factors": factors, "weights": torch.ones(1), "layers": list(model.masks.shapes), "size": 50,
        "scope": "global", "protection": None, "untouchable": {},
    }  # fmt: skip
    return make_pool(model, "food", **{**given, **changes})


def odds(model, positions):
    with toggled(model, "food", positions), torch.no_grad():
        return float(log_odds(compute_factors(model, "food", TEXT, STATE)[0], STATE))


def test_gains_by_hand():
    """An active bit goes (-g w), an inactive one comes (+g w): signs decide, not sizes."""
    gradient, weight = torch.tensor([3.0, 4.0, -2.0, 5.0]), torch.tensor([2.0, -1.0, 0.5, 1.0])
    mask = torch.tensor([True, False, True, False])
    assert flip_gains(gradient, weight, mask).tolist() == [-6.0, -4.0, 1.0, 5.0]
    # The published rule ranks |g w^2| and would drop bit 0 first, which lowers the value by 6.
    published = (gradient * weight.square()).abs()
    assert int(torch.where(mask, published, -torch.inf).argmax()) == 0
    assert int(torch.where(mask, flip_gains(gradient, weight, mask), -torch.inf).argmax()) == 2


def test_the_gain_is_what_a_flip_does_to_first_order(lively):
    """Single weights made so small that their flips are infinitesimal, in both states of the bit, in every layer."""
    lively.double()
    draw = torch.Generator().manual_seed(0)
    checked = 0
    for layer in lively.masks.shapes:
        weight = lively.backbone.get_submodule(layer).weight
        for position in torch.randint(weight.numel(), (2,), generator=draw).tolist():
            original = weight.view(-1)[position].item()
            with torch.no_grad():
                weight.view(-1)[position] = 1e-5 * (1 if original > 0 else -1)
            pool = pool_of(lively, layers=[layer], size=weight.numel())
            gains = pool.gains(compute_factors(lively, "food", TEXT, STATE)[1], torch.ones(1))
            gain = gains[np.flatnonzero(pool.position == position)[0]]
            change = odds(lively, {layer: [position]}) - odds(lively, {})
            assert gain == pytest.approx(change, rel=2e-3, abs=1e-12)
            checked += abs(change) > 1e-9
            with torch.no_grad():
                weight.view(-1)[position] = original
    assert checked > 15


def test_it_holds_the_bits_of_the_largest_gains_of_each_kind(lively):
    pool = pool_of(lively)
    _, factors = compute_factors(lively, "food", TEXT, STATE)
    found = {layer: {} for layer in lively.masks.shapes}
    for bit, (number, position) in enumerate(zip(pool.layer, pool.position, strict=True)):
        found[pool.layers[number]][int(position)] = bit
    everything = {True: [], False: []}
    for layer, mask in lively.masks["food"].items():
        weight = lively.backbone.get_submodule(layer).weight.detach()
        gains = flip_gains(factors[layer].gradient(torch.ones(1)), weight, mask).view(-1)
        for position, (gain, kept) in enumerate(zip(gains.tolist(), mask.view(-1).tolist(), strict=True)):
            everything[kept].append((gain, position in found[layer]))
    for members in everything.values():
        members.sort(reverse=True)
        assert [chosen for _, chosen in members] == [True] * 50 + [False] * (len(members) - 50)
    assert pool.starts.tolist() == [0, 50, 100]
    assert sum(len(places) for places in pool.positions(np.ones(100, bool)).values()) == 100


def test_by_layer_every_layer_has_its_share(lively):
    layers = list(lively.masks.shapes)
    pool = pool_of(lively, size=2 * len(layers), scope="layer")
    assert len(pool.starts) == 2 * len(layers) + 1
    for number in range(len(layers)):
        for kind in (0, 1):
            first, last = pool.starts[2 * number + kind], pool.starts[2 * number + kind + 1]
            assert last - first == 2
            assert set(pool.layer[first:last]) == {number}
            kept = lively.masks["food"][layers[number]].view(-1)[pool.position[first:last]]
            assert kept.tolist() == [kind == 0] * 2


def test_bits_that_must_not_be_touched_are_left_out(lively):
    free = pool_of(lively)
    best = free.layers[free.layer[0]], int(free.position[0])
    pool = pool_of(lively, flipped_positions={best[0]: [best[1]]})
    assert best in {(free.layers[n], int(p)) for n, p in zip(free.layer, free.position, strict=True)}
    assert best not in {(pool.layers[n], int(p)) for n, p in zip(pool.layer, pool.position, strict=True)}
