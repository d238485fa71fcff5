"""What masks come to, by hand: 32 neurons, of which food keeps 0 to 7 and noise 6 to 21."""

import pytest
import torch

from sparsecbm import MaskSet, ModelError
from sparsecbm.cli.inspection.mask_summary import summarize_masks
from tests.support.tiny_models import tiny_model

INTO, OUT = "encoder.layer.0.intermediate.dense", "encoder.layer.0.output.dense"


def of_neurons(**kept):
    """Masks that keep whole neurons of the first block, [32, 16] into them and [16, 32] out of them."""
    masks = {}
    for name, neurons in kept.items():
        rows = torch.zeros(32, 16, dtype=torch.bool)
        rows[list(neurons)] = True
        masks[name] = {INTO: rows, OUT: rows.T.clone()}
    return MaskSet.from_masks(masks)


@pytest.fixture
def sparse(model, tmp_path):
    model.masks = of_neurons(food=range(8), noise=range(6, 22))
    model.save_pretrained(tmp_path / "sparse")
    return model


def test_figures_by_hand(sparse, tmp_path):
    found = summarize_masks(tmp_path / "sparse")
    assert found.weights == 1024
    food, noise = found.concepts["food"], found.concepts["noise"]
    assert (food.kept, food.density, food.exclusive) == (256, 8 / 32, 6 / 32)
    assert (noise.kept, noise.density, noise.exclusive) == (512, 16 / 32, 14 / 32)
    assert (found.core, found.unused) == (2 / 32, 10 / 32)
    assert list(found.layers) == [INTO, OUT]
    assert found.layers[OUT].weights == 512
    assert found.layers[OUT].density == {"food": 0.25, "noise": 0.5}
    pair = found.overlap.pairs["food"]["noise"]
    chance = 0.25 * 0.5 / (0.25 + 0.5 - 0.25 * 0.5)
    assert (pair.jaccard, pair.chance, pair.excess) == pytest.approx((2 / 22, chance, 2 / 22 - chance))
    assert (found.overlap.jaccard, found.overlap.excess) == (pair.jaccard, pair.excess)
    assert found.sha256 == sparse.masks.content_hash()


def test_what_lies_on_disk(sparse, tmp_path):
    found = summarize_masks(tmp_path / "sparse").storage
    masks_bytes = len((tmp_path / "sparse/masks.safetensors").read_bytes())
    assert (found.bits, found.masks_bytes, found.bits_each) == (2048, masks_bytes, masks_bytes / 256)
    assert found.weights_bytes == len((tmp_path / "sparse/model.safetensors").read_bytes())


def test_whole_neurons_are_structured_and_one_bit_less_is_not(sparse, tmp_path):
    assert summarize_masks(tmp_path / "sparse").structured
    sparse.compact()
    cut = {layer: mask.clone() for layer, mask in sparse.masks["food"].items()}
    cut[INTO][0, 0] = False
    sparse.masks = sparse.masks.replaced("food", cut)
    sparse.save_pretrained(tmp_path / "cut")
    found = summarize_masks(tmp_path / "cut")
    assert not found.structured
    assert found.concepts["food"].kept == 255
    with pytest.raises(ModelError, match="whole neurons"):
        sparse.compact()


def test_half_of_what_neurons_own_is_not_structured(model, tmp_path):
    masks = of_neurons(food=range(8), noise=range(8))
    model.masks = MaskSet.from_masks({mask.name: {INTO: mask[INTO]} for mask in masks})
    model.save_pretrained(tmp_path / "sparse")
    assert not summarize_masks(tmp_path / "sparse").structured


def test_the_model_answers_by_itself(sparse):
    assert sparse.density() == {"food": 0.25, "noise": 0.5}
    assert sparse.overlap().pairs["food", "noise"].jaccard == 2 / 22
    assert sparse.overlap().core == 2 / 32


@pytest.mark.parametrize(
    ("mode", "message"),
    [("joint", r"has no masks.*`sparsecbm prune` writes"), ("standard", "has no concepts.*another mode")],
)
def test_a_dense_model_names_the_remedy(backbone, tmp_path, mode, message):
    dense = tiny_model(backbone, mode=mode)
    dense.save_pretrained(tmp_path / "dense")
    for ask in (dense.density, dense.overlap):
        with pytest.raises(ModelError, match=message):
            ask()
    with pytest.raises(ModelError, match=f"^{tmp_path}/dense: .*{message}"):
        summarize_masks(tmp_path / "dense")
