"""Figures of masks by hand. There are 32 neurons; food keeps 0 to 7 and noise keeps 6 to 21."""

import pytest

from sparsecbm import MaskSet, ModelError
from sparsecbm.cli.inspection.mask_summary import summarize_masks
from tests.support.small_masks import INTO, OUT, whole_neurons
from tests.support.tiny_models import random_masks, tiny_model, write_backbone
from tests.support.tiny_tables import annotated


@pytest.fixture
def sparse(model, tmp_path):
    model.masks = whole_neurons(food=range(8), noise=range(6, 22))
    model.save_pretrained(tmp_path / "sparse")
    return model


def test_figures_by_hand(sparse, tmp_path):
    summary = summarize_masks(tmp_path / "sparse")
    assert summary.weights == 1024
    food, noise = summary.concepts["food"], summary.concepts["noise"]
    assert (food.kept, food.density, food.exclusive) == (256, 8 / 32, 6 / 32)
    assert (noise.kept, noise.density, noise.exclusive) == (512, 16 / 32, 14 / 32)
    assert (summary.core, summary.unused) == (2 / 32, 10 / 32)
    assert list(summary.layers) == [INTO, OUT]
    assert summary.layers[OUT].weights == 512
    assert summary.layers[OUT].density == {"food": 0.25, "noise": 0.5}
    pair = summary.overlap.pairs["food"]["noise"]
    chance = 0.25 * 0.5 / (0.25 + 0.5 - 0.25 * 0.5)
    assert (pair.jaccard, pair.chance, pair.excess) == pytest.approx((2 / 22, chance, 2 / 22 - chance))
    assert (summary.overlap.jaccard, summary.overlap.excess) == (pair.jaccard, pair.excess)
    assert summary.sha256 == sparse.masks.content_hash()


def test_sizes_on_disk_by_hand(sparse, tmp_path):
    summary = summarize_masks(tmp_path / "sparse").storage
    masks_bytes = len((tmp_path / "sparse/masks.safetensors").read_bytes())
    assert (summary.bits, summary.masks_bytes, summary.bits_each) == (2048, masks_bytes, masks_bytes / 256)
    assert summary.weights_bytes == len((tmp_path / "sparse/model.safetensors").read_bytes())


def test_masks_that_drop_whole_neurons_can_be_cut_and_others_cannot(sparse, tmp_path):
    """`food` keeps 8 of 32 neurons. With one bit less, the others can still be cut; with a bit of each, none can."""
    assert summarize_masks(tmp_path / "sparse").structured
    for bits, kept, structured in ((False, 255, True), (True, 256 + 24, False)):
        masks = {
            name: {layer: mask.clone() for layer, mask in sparse.masks[name].items()} for name in ("food", "noise")
        }
        if bits:
            for mask in masks.values():
                mask[INTO][:, 0] = True
        else:
            masks["food"][INTO][0, 0] = False
        changed = sparse.masks
        for name, layers in masks.items():
            changed = changed.replaced(name, layers)
        sparse.masks, before = changed, sparse.masks
        sparse.save_pretrained(tmp_path / "changed")
        summary = summarize_masks(tmp_path / "changed")
        assert (summary.concepts["food"].kept, summary.structured) == (kept, structured)
        sparse.masks = before


def test_masks_over_half_of_the_weights_of_neurons_are_not_structured(model, tmp_path):
    masks = whole_neurons(food=range(8), noise=range(8))
    model.masks = MaskSet.from_masks({mask.name: {INTO: mask[INTO]} for mask in masks})
    model.save_pretrained(tmp_path / "sparse")
    assert not summarize_masks(tmp_path / "sparse").structured


def test_the_model_gives_the_same_figures(sparse):
    assert sparse.density() == {"food": 0.25, "noise": 0.5}
    assert sparse.overlap().pairs["food", "noise"].jaccard == 2 / 22
    assert sparse.overlap().core == 2 / 32


@pytest.mark.parametrize(
    ("mode", "message"),
    [("joint", r"has no masks.*`sparsecbm prune` writes"), ("standard", "has no concepts.*another mode")],
)
def test_the_error_for_a_dense_model_says_what_to_do(backbone, tmp_path, mode, message):
    dense = tiny_model(backbone, mode=mode)
    dense.save_pretrained(tmp_path / "dense")
    for ask in (dense.density, dense.overlap):
        with pytest.raises(ModelError, match=message):
            ask()
    with pytest.raises(ModelError, match=f"^{tmp_path}/dense: .*{message}"):
        summarize_masks(tmp_path / "dense")


def test_texts_show_the_parts_of_each_concept(sparse, tmp_path):
    """The masks keep whole neurons: food keeps 0 to 7, of which 6 and 7 are noise's, too."""
    texts = annotated(12, seed=2)["text"].tolist()
    parts = summarize_masks(tmp_path / "sparse", texts).parts
    exclusive = {part.index: part.exclusive for part in parts["food"].neurons}
    assert len(exclusive) == 10
    for index, share in exclusive.items():
        assert share == (1 if index < 6 else 0)
    without = summarize_masks(tmp_path / "sparse")
    assert (without.parts, without.parts_note) == ({}, None)


def test_a_family_without_known_units_gets_a_note_instead_of_parts(tmp_path, sparsecbm):
    model = tiny_model(write_backbone(tmp_path / "deberta", "deberta-v2"))
    model.masks = random_masks(model)
    model.save_pretrained(tmp_path / "sparse")
    (tmp_path / "texts.txt").write_text("the food was good\nslow service\n")
    note = "the heads and neurons of 'deberta-v2' are not known, so subnetworks cannot be listed part by part"
    summary = summarize_masks(tmp_path / "sparse", ["the food was good"])
    assert (summary.parts, summary.parts_note) == ({}, note)
    code, output, _ = sparsecbm("masks", tmp_path / "sparse", "--file", tmp_path / "texts.txt")
    assert code == 0 and f"No list of parts: {note}." in " ".join(output.split())
    assert "No list of parts" not in sparsecbm("masks", tmp_path / "sparse")[1]


def test_a_dense_model_with_texts_is_refused_with_what_to_do(backbone, tmp_path, sparsecbm):
    tiny_model(backbone).save_pretrained(tmp_path / "dense")
    (tmp_path / "texts.txt").write_text("the food was good\n")
    code, output, errors = sparsecbm("masks", tmp_path / "dense", "--file", tmp_path / "texts.txt")
    assert (code, output) == (1, "") and "Traceback" not in errors
    assert f"{tmp_path / 'dense'}: the model has no masks" in errors and "`sparsecbm prune` writes" in errors
