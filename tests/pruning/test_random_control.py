"""Random masks match chosen ones in every count."""

from itertools import combinations

import pytest
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.model.masked import masked_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.overlap import compute_overlap
from sparsecbm.model.units import find_units
from sparsecbm.pruning.event import choose_masks
from sparsecbm.pruning.random_control import matched_random, matched_random_groups, matched_random_of
from tests.support.prune_settings import pruning
from tests.support.tiny_models import random_masks, tiny_model, write_backbone

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


def chosen_in_pattern(model, granularity):
    """Return half-dense masks of the model in a pattern, by random scores."""
    model.masks = random_masks(model, density=1.0)
    params = pruning(granularity=granularity, core=0.0, sparsity=0.5)
    draw = torch.Generator().manual_seed(3)
    scores = {
        name: {layer: torch.rand(shape, generator=draw) for layer, shape in model.masks.shapes.items()}
        for name in model.concept_set.names
    }
    return choose_masks(model, params, scores, 0.5)


def kept_units(model, masks):
    """Return which units each concept keeps, by kind and block; fails for a mask that cuts through a unit."""
    return {
        (group.kind, group.block): torch.stack([group.kept({layer: m[layer] for layer in group.layers}) for m in masks])
        for group in find_units(model.backbone)
    }


@pytest.fixture(scope="module", params=["bert", "gpt2"])
def patterned(request, tmp_path_factory):
    """Return a tiny model of a family; GPT-2 holds weights as [in, out]."""
    folder = tmp_path_factory.mktemp(request.param)
    write_backbone(folder, request.param)
    return tiny_model(folder)


def test_masks_of_whole_units_are_shuffled_as_whole_units(patterned):
    masks = chosen_in_pattern(patterned, "structured")
    random = matched_random_of(patterned, masks, "structured", seed=5)
    before, after = kept_units(patterned, masks), kept_units(patterned, random)
    for where, rows in before.items():
        patterns = sorted(map(tuple, rows.T.tolist()))  # which concepts keep a unit, for each unit
        assert sorted(map(tuple, after[where].T.tolist())) == patterns
    assert any(not torch.equal(after[where], rows) for where, rows in before.items())
    assert compute_overlap(random) == compute_overlap(masks)
    assert random == matched_random_of(patterned, masks, "structured", seed=5)
    with pytest.raises(ModelError, match="does not keep or drop whole"):
        kept_units(patterned, matched_random(masks, seed=5))


def kept_of_four(model, mask):
    """Return the distinct numbers of weights that groups of four inputs keep."""
    return {
        int(number)
        for layer, module in masked_layers(model.backbone).items()
        for number in (mask[layer].T if module.input_first else mask[layer]).reshape(-1, 4).sum(1).unique()
    }


def test_patterns_stay_patterns(patterned):
    masks = chosen_in_pattern(patterned, "2:4")
    random = matched_random_of(patterned, masks, "2:4", seed=5)
    for mask in random:
        assert kept_of_four(patterned, mask) == {2} and mask.density_by_layer() == masks[mask.name].density_by_layer()
        assert all(not torch.equal(kept, masks[mask.name][layer]) for layer, kept in mask.items())
    assert compute_overlap(random) == compute_overlap(masks)
    assert kept_of_four(patterned, next(iter(matched_random(masks, seed=5)))) == {0, 1, 2, 3, 4}


def test_every_place_of_a_group_is_equally_likely():
    """The first two of four weights are kept; over many draws each of the four places is kept half of the time."""
    first = torch.tensor([True, True, False, False]).repeat(6, 3)
    only = MaskSet.from_masks({"food": {"x": first}})
    times = torch.zeros(6, 12)
    for seed in range(400):
        times += matched_random_groups(only, 4, (), seed)["food"]["x"]
    assert (times / 400 - 0.5).abs().max().item() < 4.5 * 0.5 / 400**0.5
