"""Candidate bits and their gains, compared with real flips."""

import numpy as np
import pytest
import torch

from sparsecbm.intervene.patches.bits import toggled
from sparsecbm.intervene.patches.candidates import CandidateOptions, flip_gains, select_candidates
from sparsecbm.intervene.patches.factors import compute_factors, log_odds

TEXT, STATE = ["the food was good"], torch.tensor([1])


def candidates_of(model, **options):
    _, factors = compute_factors(model, "food", TEXT, STATE)
    options = CandidateOptions(**{"layers": tuple(model.masks.shapes), "size": 50, **options})
    return select_candidates(model, "food", factors, torch.ones(1), options)


def odds(model, positions):
    with toggled(model, "food", positions), torch.no_grad():
        return float(log_odds(compute_factors(model, "food", TEXT, STATE)[0], STATE))


def test_gains_by_hand():
    """Dropping an active bit gains -g w and growing an inactive bit gains +g w: the sign counts, not the size."""
    gradient, weight = torch.tensor([3.0, 4.0, -2.0, 5.0]), torch.tensor([2.0, -1.0, 0.5, 1.0])
    mask = torch.tensor([True, False, True, False])
    assert flip_gains(gradient, weight, mask).tolist() == [-6.0, -4.0, 1.0, 5.0]
    # The published rule ranks |g w^2| and would drop bit 0 first, which lowers the value by 6.
    published = (gradient * weight.square()).abs()
    assert int(torch.where(mask, published, -torch.inf).argmax()) == 0
    assert int(torch.where(mask, flip_gains(gradient, weight, mask), -torch.inf).argmax()) == 2


def test_the_gain_is_the_first_order_effect_of_a_flip(lively):
    """Flips of very small weights are infinitesimal. The test flips bits of both states in every layer."""
    lively.double()
    draw = torch.Generator().manual_seed(0)
    checked = 0
    for layer in lively.masks.shapes:
        weight = lively.backbone.get_submodule(layer).weight
        for position in torch.randint(weight.numel(), (2,), generator=draw).tolist():
            original = weight.view(-1)[position].item()
            with torch.no_grad():
                weight.view(-1)[position] = 1e-5 * (1 if original > 0 else -1)
            candidates = candidates_of(lively, layers=(layer,), size=weight.numel())
            gains = candidates.gains(compute_factors(lively, "food", TEXT, STATE)[1], torch.ones(1))
            gain = gains[np.flatnonzero(candidates.position == position)[0]]
            change = odds(lively, {layer: [position]}) - odds(lively, {})
            assert gain == pytest.approx(change, rel=2e-3, abs=1e-12)
            checked += abs(change) > 1e-9
            with torch.no_grad():
                weight.view(-1)[position] = original
    assert checked > 15


def test_candidates_are_the_bits_with_the_largest_gains_of_each_kind(lively):
    candidates = candidates_of(lively)
    _, factors = compute_factors(lively, "food", TEXT, STATE)
    bit_at = {layer: {} for layer in lively.masks.shapes}
    for bit, (number, position) in enumerate(zip(candidates.layer, candidates.position, strict=True)):
        bit_at[candidates.layers[number]][int(position)] = bit
    gains_by_kind = {True: [], False: []}
    for layer, mask in lively.masks["food"].items():
        weight = lively.backbone.get_submodule(layer).weight.detach()
        gains = flip_gains(factors[layer].gradient(torch.ones(1)), weight, mask).view(-1)
        for position, (gain, active) in enumerate(zip(gains.tolist(), mask.view(-1).tolist(), strict=True)):
            gains_by_kind[active].append((gain, position in bit_at[layer]))
    for entries in gains_by_kind.values():
        entries.sort(reverse=True)
        assert [chosen for _, chosen in entries] == [True] * 50 + [False] * (len(entries) - 50)
    assert candidates.starts.tolist() == [0, 50, 100]
    assert sum(len(positions) for positions in candidates.positions(np.ones(100, bool)).values()) == 100


def test_scope_layer_gives_every_layer_its_share(lively):
    layers = list(lively.masks.shapes)
    candidates = candidates_of(lively, size=2 * len(layers), scope="layer")
    assert len(candidates.starts) == 2 * len(layers) + 1
    for number in range(len(layers)):
        for kind in (0, 1):
            first, last = candidates.starts[2 * number + kind], candidates.starts[2 * number + kind + 1]
            assert last - first == 2
            assert set(candidates.layer[first:last]) == {number}
            bits = lively.masks["food"][layers[number]].view(-1)[candidates.position[first:last]]
            assert bits.tolist() == [kind == 0] * 2


def test_excluded_bits_are_no_candidates(lively):
    free = candidates_of(lively)
    best = free.layers[free.layer[0]], int(free.position[0])
    candidates = candidates_of(lively, excluded={best[0]: [best[1]]})
    assert best in {(free.layers[n], int(p)) for n, p in zip(free.layer, free.position, strict=True)}
    assert best not in {
        (candidates.layers[n], int(p)) for n, p in zip(candidates.layer, candidates.position, strict=True)
    }
