"""Selection of whole units, on a block of 3 heads (8 weights each) and 6 neurons (4 each), by hand."""

import pytest
import torch

from sparsecbm.base.errors import ConfigError, ModelError, PruningError
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.units import LayerPart, Units, find_units
from sparsecbm.pruning.structured import select_units

HEADS, NEURONS = [1, 5, 9], [2, 3, 4, 6, 7, 8]  # saliency per weight


def block(number):
    return (
        Units("head", number, 3, (LayerPart(f"{number}.value", 0, 0, 1), LayerPart(f"{number}.output", 1, 0, 1))),
        Units("neuron", number, 6, (LayerPart(f"{number}.up", 0, 0, 1), LayerPart(f"{number}.down", 1, 0, 1))),
    )


def saliencies(number=0, heads=HEADS, neurons=NEURONS):
    """Return equal saliencies for all weights of a unit: value [3, 4], output [4, 3], up [6, 2], down [2, 6]."""
    heads, neurons = torch.tensor(heads).float(), torch.tensor(neurons).float()
    return {
        f"{number}.value": heads[:, None].expand(3, 4),
        f"{number}.output": heads.expand(4, 3),
        f"{number}.up": neurons[:, None].expand(6, 2),
        f"{number}.down": neurons.expand(2, 6),
    }


def kept(selection, number=0):
    """Return the numbers of the kept heads and neurons."""
    return [selection.masks[f"{number}.{layer}"].all(1).nonzero().squeeze(1).tolist() for layer in ("value", "up")]


def test_units_with_the_least_saliency_per_weight_go_until_the_target():
    """24 of 48 weights go: head 0 (8), neurons 0, 1, 2 (12). Head 1 no longer fits, so neuron 3 goes (4)."""
    selection = select_units(block(0), saliencies(), 0.5)
    assert kept(selection) == [[1, 2], [4, 5]]
    assert selection.sparsity == 0.5
    assert selection.kept == {("head", 0): 2, ("neuron", 0): 2}
    assert torch.equal(selection.masks["0.output"], torch.tensor([False, True, True]).expand(4, 3))
    assert torch.equal(selection.masks["0.down"], torch.tensor([False] * 4 + [True] * 2).expand(2, 6))


def test_the_size_of_a_head_does_not_protect_it():
    """By sums (head 0: 12, a neuron: 8) two neurons would go for 8 weights. Per weight the head costs less."""
    selection = select_units(block(0), saliencies(heads=[1.5, 9, 9], neurons=[2] * 6), 8 / 48)
    assert kept(selection) == [[1, 2], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("sparsity", "dropped"),
    [(0, 0), (0.04, 0), (0.06, 4), (0.55, 24), (0.57, 28), (0.75, 36)],  # .04 * 48 is 2, .06: 3, .55: 26, .57: 27
)
def test_the_target_is_rounded_to_half_a_neuron(sparsity, dropped):
    assert select_units(block(0), saliencies(), sparsity).sparsity == dropped / 48


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_one_head_and_one_neuron_of_every_block_stay(scope):
    """Neurons are worth 0: five of six go (20 weights). Then a head goes before the last neuron."""
    selection = select_units(block(0), saliencies(heads=[7, 8, 9], neurons=[0] * 6), 28 / 48, scope)
    assert kept(selection) == [[1, 2], [5]]
    with pytest.raises(ConfigError, match=r"sparsity of 0.78 .* block 0 allow at most 0.7500"):
        select_units(block(0), saliencies(), 0.78, scope)


def test_a_head_goes_and_a_neuron_returns_if_this_is_closer_to_the_target():
    """Five neurons are 20 of 24 weights, and the last must stay. Head 0 (8) goes, and the best neuron (4) returns."""
    values = saliencies(heads=[7, 8, 9], neurons=[0, 0, 0, 0, 1, 2])
    selection = select_units(block(0), values, 0.5)
    assert kept(selection) == [[1, 2], [4, 5]] and selection.sparsity == 0.5
    before = select_units(block(0), values, 20 / 48)
    assert kept(before) == [[0, 1, 2], [5]]  # no earlier neuron returns: 20 is as close to 24 as 28
    assert select_units(block(0), values, 0.5, before=before.masks).sparsity == 20 / 48


def test_the_threshold_is_per_block_or_global():
    units = [*block(0), *block(1)]
    values = {**saliencies(0), **saliencies(1, [10 * s for s in HEADS], [10 * s for s in NEURONS])}
    each = select_units(units, values, 0.5)
    assert [kept(each, 0), kept(each, 1)] == [[[1, 2], [4, 5]]] * 2
    # 48 of 96: all of block 0 that may go (36), then head 0 (10) and neuron 0 (20) of block 1.
    together = select_units(units, values, 0.5, "global")
    assert [kept(together, 0), kept(together, 1)] == [[[2], [5]], [[1, 2], [1, 2, 3, 4, 5]]]
    assert each.sparsity == together.sparsity == 0.5


def test_a_dropped_unit_stays_dropped():
    first = select_units(block(0), saliencies(), 20 / 48)
    assert kept(first) == [[1, 2], [3, 4, 5]]
    reverse = saliencies(heads=[9, 5, 1], neurons=[8, 7, 6, 4, 3, 2])
    second = select_units(block(0), reverse, 0.5, before=first.masks)
    assert kept(second) == [[1, 2], [3, 4]]  # head 2 is next but does not fit; neuron 5 does
    assert kept(select_units(block(0), reverse, 0.5)) == [[0, 1], [0, 1]]  # without earlier masks
    assert select_units(block(0), reverse, 0.1, before=first.masks).sparsity == 20 / 48


def test_errors_name_the_invalid_input():
    with pytest.raises(ConfigError, match=r"sparsity is in \[0, 1\), not 1.0"):
        select_units(block(0), saliencies(), 1.0)
    with pytest.raises(ConfigError, match=r"unknown threshold 'block'\. Choices: layer, global"):
        select_units(block(0), saliencies(), 0.5, "block")
    with pytest.raises(PruningError, match=r"layer 0\.up: scores hold NaN"):
        select_units(block(0), saliencies(neurons=[2, float("nan"), 4, 6, 7, 8]), 0.5)
    masks = select_units(block(0), saliencies(), 0.5).masks
    masks["0.output"][0, 1] = False
    with pytest.raises(ModelError, match=r"layer 0\.output does not keep or drop whole heads"):
        select_units(block(0), saliencies(), 0.5, before=masks)
    with pytest.raises(ConfigError, match=r"0\.output is not among"):
        select_units(block(0), {n: v for n, v in saliencies().items() if n != "0.output"}, 0.5)


def test_only_blocks_with_saliencies_are_pruned(model):
    """Block 1 of the tiny BERT: 2 heads of 512 weights, 32 neurons of 32; three quarters of an even split."""
    values = {name: m.weight.detach().abs() for name, m in prunable_layers(model.backbone, masked_from=1).items()}
    selection = select_units(find_units(model.backbone), values, 0.5)
    assert list(selection.masks) == list(values)
    assert selection.sparsity == 0.5
    heads, neurons = selection.kept["head", 1], selection.kept["neuron", 1]
    assert heads * 512 + neurons * 32 == 1024
