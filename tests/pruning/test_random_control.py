"""Random masks match chosen ones in every count."""

from itertools import combinations

import pytest
import torch

from sparsecbm.model.masks import MaskSet
from sparsecbm.model.overlap import compute_overlap
from sparsecbm.pruning.random_control import matched_random

SHAPES = {"a": (30, 20), "b": (7, 5)}


def chosen(seed=0):
    """Return masks of three concepts with the first rows as common core and a different density for each concept."""
    draw = torch.Generator().manual_seed(seed)
    masks = {}
    for number, name in enumerate(("food", "noise", "service")):
        masks[name] = {}
        for layer, shape in SHAPES.items():
            kept = torch.rand(shape, generator=draw) < 0.15 + 0.1 * number
            kept[:2] = True
            masks[name][layer] = kept
    return MaskSet.from_masks(masks)


def group_sizes(masks, layer):
    """Return, for every group of concepts, the number of weights that exactly these concepts keep."""
    counts = {}
    for size in range(len(masks) + 1):
        for group in combinations(masks.concepts, size):
            kept = torch.ones(masks.shapes[layer], dtype=torch.bool)
            for mask in masks:
                kept &= mask[layer] if mask.name in group else ~mask[layer]
            counts[group] = int(kept.sum())
    return counts


def test_every_count_of_every_layer_matches():
    masks, random = chosen(), matched_random(chosen(), seed=4)
    assert random.concepts == masks.concepts and random.shapes == masks.shapes
    for layer in SHAPES:
        assert group_sizes(random, layer) == group_sizes(masks, layer)
    for name in masks.concepts:
        assert random[name].density_by_layer() == masks[name].density_by_layer()
        assert random.exclusive(name).density_by_layer() == masks.exclusive(name).density_by_layer()
    assert random.core().density_by_layer() == masks.core().density_by_layer()
    assert masks.core().density_by_layer()["a"] >= 2 / 30
    assert compute_overlap(random) == compute_overlap(masks)


def test_every_weight_is_equally_likely():
    """The core of the chosen masks fills the first two rows. Over many draws each weight is in it equally often."""
    masks = MaskSet.from_masks({name: {"b": chosen()[name]["b"]} for name in ("food", "noise")})
    core = masks.core()["b"]
    times = torch.zeros(SHAPES["b"])
    for seed in range(500):
        times += matched_random(masks, seed).core()["b"]
    share = core.float().mean().item()
    assert times.mean().item() / 500 == pytest.approx(share)  # its size is exact
    error = (share * (1 - share) / 500) ** 0.5
    assert (times / 500 - share).abs().max().item() < 4.5 * error
    assert core[:2].all() and not core[2:].all()


def test_the_shuffle_depends_on_seed_and_layer_name():
    masks = chosen()
    first, again, other = (matched_random(masks, seed) for seed in (1, 1, 2))
    assert first == again != other != masks
    alone = MaskSet.from_masks({name: {"b": masks[name]["b"]} for name in masks.concepts})
    assert torch.equal(matched_random(alone, 1)["food"]["b"], first["food"]["b"])
    twins = MaskSet.from_masks({name: {"x": masks[name]["a"], "y": masks[name]["a"]} for name in masks.concepts})
    shuffled = matched_random(twins, 1)["food"]
    assert not torch.equal(shuffled["x"], shuffled["y"])


def test_packed_bits_beyond_the_last_weight_stay_zero():
    random = matched_random(MaskSet.dense(("food", "noise"), SHAPES), seed=0)
    assert random == MaskSet.dense(("food", "noise"), SHAPES)
