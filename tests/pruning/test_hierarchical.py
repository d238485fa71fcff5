"""Common heads and neurons, and weights of each concept inside them, by hand and on a tiny model."""

import pytest
import torch

from sparsecbm.model.units import LayerPart, Units, find_units
from sparsecbm.pruning.event import choose_masks
from sparsecbm.pruning.hierarchical import common_units
from sparsecbm.pruning.random_control import matched_random_of
from tests.support.prune_settings import pruning
from tests.support.small_masks import dense_masks, random_scores

# A block of 4 neurons, each with a row of 2 weights in one layer and a column of 2 in the next one.
NEURONS = (Units("neuron", 0, 4, (LayerPart("up", 0, 0, 1), LayerPart("down", 1, 0, 1))),)
# Ranks within a layer of 8 weights, in sevenths. Sums over both layers: food 26 18 9 3, noise 2 18 26 10.
FOOD = {"up": [[7, 6], [5, 4], [3, 1], [2, 0]], "down": [[7, 5, 3, 1], [6, 4, 2, 0]]}
NOISE = {"up": [[0, 1], [4, 5], [7, 6], [2, 3]], "down": [[0, 4, 6, 2], [1, 5, 7, 3]]}


def scores(**by_concept):
    return {
        name: {layer: torch.tensor(rows).float() for layer, rows in of_layers.items()}
        for name, of_layers in by_concept.items()
    }


def kept(sparsity, *args, **by_concept):
    return NEURONS[0].kept(common_units(NEURONS, scores(**by_concept), sparsity, *args)).nonzero().squeeze(1).tolist()


def test_units_that_matter_to_all_concepts_stay():
    """Sums over both concepts: 28 36 35 13. Of four units, half stay at a sparsity of 3/4, and all at 0."""
    assert kept(0.75, food=FOOD) == [0, 1]
    assert kept(0.75, noise=NOISE) == [1, 2]
    assert kept(0.75, food=FOOD, noise=NOISE) == [1, 2]
    assert kept(0.0, food=FOOD, noise=NOISE) == [0, 1, 2, 3]


def test_the_number_of_units_is_rounded_up():
    """sqrt(1 - .7) of 4 is 2.19, so three units stay, and at least as many weights as a concept keeps."""
    assert kept(0.7, food=FOOD) == [0, 1, 2]
    assert kept(0.99, food=FOOD) == [0]


def test_null_concepts_have_no_say():
    assert kept(0.75, ["noise"], food=FOOD, noise=NOISE) == [0, 1]


@pytest.mark.parametrize("threshold", ["layer", "global"])
@pytest.mark.parametrize("core", [0.0, 0.5])
def test_weights_lie_inside_common_units(model, core, threshold):
    """Of 2 heads and 32 neurons in a block, one head and 16 neurons stay. Concepts keep half of the weights inside."""
    model.masks = dense_masks(model)
    params = pruning(granularity="hierarchical", core=core, threshold=threshold)
    for event, sparsity in enumerate((0.4, 0.75)):
        model.masks = choose_masks(model, params, random_scores(model, event), sparsity, regrow=True)
    union = model.masks.union()
    for group in find_units(model.backbone):
        assert int(group.used(union).sum()) == group.count // 2
    for mask in model.masks:
        assert mask.density == 0.25
        assert threshold == "global" or set(mask.density_by_layer().values()) == {0.25}
    assert model.masks["food"] != model.masks["noise"]
    assert model.masks.core().density >= core * 0.25


def test_random_masks_have_the_same_pattern(model):
    """Other units are common, other weights are kept inside them, and every count stays."""
    model.masks = dense_masks(model)
    params = pruning(granularity="hierarchical", core=0.5)
    masks = choose_masks(model, params, random_scores(model), 0.75, regrow=True)
    random = matched_random_of(model, masks, "hierarchical", seed=3)
    assert random.density() == masks.density()
    assert random.core().density_by_layer() == masks.core().density_by_layer()
    assert random.exclusive("food").density_by_layer() == masks.exclusive("food").density_by_layer()
    used = {kind: [group.used(each.union()) for group in find_units(model.backbone)]
            for kind, each in (("chosen", masks), ("random", random))}  # fmt: skip
    assert [int(units.sum()) for units in used["random"]] == [int(units.sum()) for units in used["chosen"]]
    assert any(not torch.equal(*pair) for pair in zip(used["random"], used["chosen"], strict=True))
    plain = matched_random_of(model, masks, "unstructured", seed=3)  # this one destroys the pattern
    assert all(group.used(plain.union()).all() for group in find_units(model.backbone))
