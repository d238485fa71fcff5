"""Mask sets: packing, set operations, files."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.model.masks import MaskSet, count, pack, unpack, unpack_like
from sparsecbm.model.overlap import compute_overlap


def bits(text: str) -> torch.Tensor:
    return torch.tensor([c == "1" for c in text])


@pytest.mark.parametrize("shape", [(16, 8), (7, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bits_as_numbers_multiply_as_booleans_do(shape, dtype):
    weight, mask = torch.randn(shape).to(dtype), torch.rand(shape) < 0.4
    numbers = unpack_like(pack(mask), weight)
    assert numbers.dtype == dtype and numbers.unique().tolist() == [0, 1]
    product = numbers.mul_(weight)
    assert torch.equal(product, weight * mask) and torch.equal(product.signbit(), (weight * mask).signbit())
    assert unpack_like(pack(mask), weight).unique().tolist() == [0, 1]  # the table did not change


@pytest.fixture
def masks():
    """Return masks of two layers with 4 and 3 weights."""
    return MaskSet.from_masks(
        {
            "food": {"a": bits("1100").view(2, 2), "b": bits("111").view(1, 3)},
            "noise": {"a": bits("0110").view(2, 2), "b": bits("100").view(1, 3)},
        }
    )


def test_one_byte_holds_eight_weights_with_the_first_in_the_highest_bit():
    assert pack(bits("1000000011")).tolist() == [128, 192]


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_unpack_undoes_pack(values):
    mask = torch.tensor(values)
    assert torch.equal(unpack(pack(mask), (len(values),)), mask)
    assert count(pack(mask)) == sum(values)


def test_densities_by_hand(masks):
    assert masks.density() == {"food": 5 / 7, "noise": 3 / 7}
    assert masks["food"].density_by_layer() == {"a": 0.5, "b": 1.0}
    assert masks["noise"].weights == 3


def test_masks_are_equal_when_they_keep_the_same_weights(masks):
    core = MaskSet.from_masks({"either": dict(masks.core())})["either"]
    assert masks["food"] == MaskSet.from_masks({"other": dict(masks["food"])})["other"]
    assert masks["food"] != masks["noise"] and masks["food"] != core and masks["food"] != "food"


def test_set_operations_by_hand(masks):
    assert masks.core()["a"].flatten().tolist() == [False, True, False, False]
    assert masks.union()["a"].flatten().tolist() == [True, True, True, False]
    assert masks.exclusive("food")["b"].flatten().tolist() == [False, True, True]
    assert masks.exclusive("noise")["b"].any().item() is False


def test_overlap_by_hand(masks):
    overlap = compute_overlap(masks)
    pair = overlap.pairs["food", "noise"]
    assert pair.jaccard == pytest.approx(2 / 6)  # 1 of 3 in a, 1 of 3 in b
    # expected intersection: 2 * 2 / 4 in a, 3 * 1 / 3 in b, together 2; expected union 8 - 2
    assert pair.chance == pytest.approx(2 / 6)
    assert pair.excess == pytest.approx(0)
    assert overlap.by_layer["a"]["food", "noise"].jaccard == pytest.approx(1 / 3)
    assert overlap.core == pytest.approx(2 / 7)
    assert overlap.exclusive == {"food": 3 / 7, "noise": 1 / 7}
    assert overlap.jaccard == pair.jaccard


def test_chance_is_the_overlap_of_random_masks_of_the_same_densities():
    draw = torch.Generator().manual_seed(0)
    first, second = (torch.rand(400, 500, generator=draw) < density for density in (0.25, 0.4))
    pair = compute_overlap(MaskSet.from_masks({"a": {"w": first}, "b": {"w": second}})).pairs["a", "b"]
    assert pair.chance == pytest.approx(0.25 * 0.4 / (0.25 + 0.4 - 0.25 * 0.4), abs=2e-3)
    assert pair.jaccard == pytest.approx(pair.chance, abs=4e-3)


def test_errors_for_unknown_names_list_the_choices(masks):
    with pytest.raises(ConfigError, match=r"unknown concept 'fod'. Did you mean 'food'.*food, noise"):
        masks["fod"]
    with pytest.raises(ConfigError, match=r"unknown pruned layer 'c'.*a, b"):
        masks["food"]["c"]


def test_replacing_one_concept_keeps_the_other_and_the_old_set(masks):
    changed = masks.replaced("food", {"a": bits("0001").view(2, 2)})
    assert changed["food"]["a"].flatten().tolist() == [False, False, False, True]
    assert torch.equal(changed["noise"]["a"], masks["noise"]["a"])
    assert masks["food"]["a"].flatten().tolist() == [True, True, False, False]
    assert changed != masks
    with pytest.raises(ModelError, match="weights \\(2, 2\\), its mask is \\(4,\\)"):
        masks.replaced("food", {"a": bits("0001")})


def test_saved_masks_need_one_bit_for_each_weight(tmp_path):
    draw = torch.Generator().manual_seed(0)
    masks = MaskSet.from_masks({n: {"w": torch.rand(500, 400, generator=draw) < 0.25} for n in ("food", "noise")})
    masks.save(tmp_path / "masks.safetensors")
    assert MaskSet.load(tmp_path / "masks.safetensors") == masks
    assert (tmp_path / "masks.safetensors").stat().st_size * 8 <= 1.02 * 2 * 200_000


def test_a_flipped_byte_in_a_mask_file_is_an_error(masks, tmp_path):
    masks.save(tmp_path / "masks.safetensors")
    content = bytearray((tmp_path / "masks.safetensors").read_bytes())
    content[-1] ^= 128
    (tmp_path / "masks.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="was altered"):
        MaskSet.load(tmp_path / "masks.safetensors")


@pytest.mark.parametrize("content", [b"", b"nonsense" * 9])
def test_a_file_of_another_kind_is_an_error(tmp_path, content):
    (tmp_path / "masks.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="is not a mask file"):
        MaskSet.load(tmp_path / "masks.safetensors")


def test_a_mask_set_without_layers_is_an_error():
    with pytest.raises(ModelError, match="without layers"):
        MaskSet.dense(("food",), {})
