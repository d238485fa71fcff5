"""Joint selection of the masks of all concepts, by hand."""

import pytest
import torch

from sparsecbm.base.errors import PruningError
from sparsecbm.pruning.contrast import Contrast, choose_contrasting_masks, rank_scores
from sparsecbm.pruning.select import prune_to

# One layer has ten weights. Both concepts score the first three highest. The rank differences, in ninths, are
# 0 0 0 6 4 2 0 -2 -4 -6.
TWO = {"food": [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], "noise": [9, 8, 7, 0, 1, 2, 3, 4, 5, 6]}
# Eight weights, three concepts. The first two weights are the best of each concept. The rank minus the mean rank of
# the others, in sevenths, is highest at 2, 3 for food (3, 3), 4, 5 for noise (4, 2.5) and 6, 7 for service (3, 2.5).
THREE = {
    "food": [7, 6, 5, 4, 0, 2, 1, 3],
    "noise": [7, 6, 1, 2, 5, 4, 3, 0],
    "service": [7, 6, 3, 0, 2, 1, 5, 4],
}


def one_layer(scores, pruned=None):
    """Return scores and masks of one layer by concept; `pruned` holds the indices that a concept has already lost."""
    values = {name: {"layer": torch.tensor(row).float()} for name, row in scores.items()}
    masks = {name: {"layer": torch.ones(len(row), dtype=torch.bool)} for name, row in scores.items()}
    for name, indices in (pruned or {}).items():
        masks[name]["layer"][indices] = False
    return values, masks


def kept(masks):
    return {name: layers["layer"].nonzero().squeeze(1).tolist() for name, layers in masks.items()}


def without_contrast(scores, sparsity):
    values, masks = one_layer(scores)
    return kept({name: prune_to(values[name], masks[name], sparsity) for name in values})


def test_two_concepts_by_hand():
    """Four of ten weights stay. The core is the weight with the highest mean rank. Each concept has three more."""
    masks_by_concept = choose_contrasting_masks(*one_layer(TWO), sparsity=0.6, contrast=Contrast(0.25))
    assert kept(masks_by_concept) == {"food": [0, 3, 4, 5], "noise": [0, 7, 8, 9]}
    assert without_contrast(TWO, 0.6) == {"food": [0, 1, 2, 3], "noise": [0, 1, 2, 9]}


def test_half_of_each_mask_is_the_core():
    assert kept(choose_contrasting_masks(*one_layer(TWO), sparsity=0.6, contrast=Contrast(0.5))) == {
        "food": [0, 1, 3, 4],
        "noise": [0, 1, 8, 9],
    }


def test_without_a_core_only_contrast_counts():
    """The weights that are most important to both concepts go."""
    assert kept(choose_contrasting_masks(*one_layer(TWO), sparsity=0.7, contrast=Contrast(0))) == {
        "food": [3, 4, 5],
        "noise": [7, 8, 9],
    }
    assert without_contrast(TWO, 0.7) == {"food": [0, 1, 2], "noise": [0, 1, 2]}


def test_three_concepts_by_hand():
    """Three of eight weights stay; one of them is the core."""
    masks_by_concept = choose_contrasting_masks(*one_layer(THREE), sparsity=5 / 8, contrast=Contrast(1 / 3))
    assert kept(masks_by_concept) == {"food": [0, 2, 3], "noise": [0, 4, 5], "service": [0, 6, 7]}
    assert without_contrast(THREE, 5 / 8) == {"food": [0, 1, 2], "noise": [0, 1, 4], "service": [0, 1, 6]}


def test_a_pruned_weight_stays_pruned_unless_it_may_regrow():
    """Food has lost weight 3. Weight 1 replaces it: it is the first one without contrast outside the core."""
    inputs = one_layer(TWO, {"food": [3]})
    assert kept(choose_contrasting_masks(*inputs, sparsity=0.6, contrast=Contrast(0.25))) == {
        "food": [0, 1, 4, 5],
        "noise": [0, 7, 8, 9],
    }
    regrown = choose_contrasting_masks(*inputs, sparsity=0.6, contrast=Contrast(0.25), regrow=True)
    assert kept(regrown) == {"food": [0, 3, 4, 5], "noise": [0, 7, 8, 9]}


def test_the_core_consists_of_weights_that_all_concepts_have():
    """Noise has lost weight 0, which has the highest mean rank. The core takes the next one, weight 1."""
    inputs = one_layer(TWO, {"noise": [0]})
    assert kept(choose_contrasting_masks(*inputs, sparsity=0.6, contrast=Contrast(0.25))) == {
        "food": [1, 3, 4, 5],
        "noise": [1, 7, 8, 9],
    }
    regrown = choose_contrasting_masks(*inputs, sparsity=0.6, contrast=Contrast(0.25), regrow=True)
    assert kept(regrown) == {"food": [0, 3, 4, 5], "noise": [0, 7, 8, 9]}


def test_too_few_common_weights_raise_an_error():
    inputs = one_layer(TWO, {"food": [0, 1, 2, 3, 4], "noise": [5, 6, 7, 8, 9]})
    with pytest.raises(PruningError, match="layer layer: 10 of 10 weights are dropped already"):
        choose_contrasting_masks(*inputs, sparsity=0.6, contrast=Contrast(0.25))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("core", [0.0, 0.25])
def test_scores_that_are_not_finite_raise_an_error(core, value):
    values, masks = one_layer(TWO)
    values["noise"]["layer"][4] = value
    with pytest.raises(PruningError, match="layer layer: scores hold NaN or infinity"):
        choose_contrasting_masks(values, masks, sparsity=0.6, contrast=Contrast(core))


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize(("sparsity", "core"), [(0.0, 0.5), (0.5, 0.0), (0.75, 0.4), (0.9, 0.9)])
def test_sparsity_is_exact_and_the_core_is_common(scope, sparsity, core):
    draw = torch.Generator().manual_seed(0)
    shapes = {"a": (10, 20), "b": (10, 30)}
    names = ("food", "noise", "service")
    scores = {n: {layer: torch.randn(shape, generator=draw) for layer, shape in shapes.items()} for n in names}
    masks = {n: {layer: torch.ones(shape, dtype=torch.bool) for layer, shape in shapes.items()} for n in names}
    masks_by_concept = choose_contrasting_masks(scores, masks, sparsity, Contrast(core), scope)
    groups = [["a", "b"]] if scope == "global" else [["a"], ["b"]]
    for layers in groups:
        size = sum(masks["food"][layer].numel() for layer in layers)
        for name in names:
            assert sum(int(masks_by_concept[name][layer].sum()) for layer in layers) == round((1 - sparsity) * size)
        common = [torch.stack([masks_by_concept[name][layer] for name in names]).all(0) for layer in layers]
        assert sum(int(both.sum()) for both in common) >= round(core * (1 - sparsity) * size)
    if core == 0:  # contrast gives each concept the weights that the others do not use
        shares = [
            torch.stack([masks_by_concept[name][layer] for name in names]).all(0).float().mean() for layer in shapes
        ]
        assert max(shares) < 0.5**3


def test_the_scale_of_scores_does_not_matter():
    scaled = dict(TWO, noise=[1e6 * value + 3 for value in TWO["noise"]])
    masks_by_concept = kept(choose_contrasting_masks(*one_layer(scaled), sparsity=0.6, contrast=Contrast(0.25)))
    assert masks_by_concept == kept(choose_contrasting_masks(*one_layer(TWO), sparsity=0.6, contrast=Contrast(0.25)))


def test_ranks_by_hand():
    assert rank_scores(torch.tensor([[9.0, -1.0], [2.0, 2.5], [7.0, 0.0]])).mul(5).tolist() == [[5, 0], [2, 3], [4, 1]]
    assert rank_scores(torch.tensor([5.0, 5.0, 1.0])).tolist() == [0.5, 1, 0]  # equal scores rank by position


def test_ranks_are_those_of_a_stable_sort():
    torch.manual_seed(0)
    scores = torch.randn(40, 25).round(decimals=1) * 10.0 ** torch.randint(-44, 30, (40, 25))
    scores[::7] = 0.0
    scores[::14] = -0.0
    order = scores.view(-1).argsort(stable=True)
    assert rank_scores(scores).view(-1)[order].tolist() == torch.linspace(0, 1, 1000).tolist()
    assert torch.equal(
        rank_scores(-scores.double().T).view(-1)[(-scores.T.reshape(-1)).argsort(stable=True)],
        torch.linspace(0, 1, 1000),
    )
