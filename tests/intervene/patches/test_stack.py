"""Applying and removing patches is exact in any order and after errors; a patch that does not fit is an error."""

import copy
from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.bits import toggle
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.stack import (
    apply_patch,
    patched,
    patched_copy,
    patches_in_force,
    remove_patch,
    reverted_copy,
)
from sparsecbm.model.masked_copy import with_masks
from sparsecbm.model.masks import MaskSet
from tests.support.patches import copied_masks, patch_by_hand
from tests.support.tiny_models import tiny_model

LAYERS = ("encoder.layer.0.output.dense", "encoder.layer.1.attention.self.query")


@pytest.fixture
def patches(lively):
    """Return three patches of food, the first two with a common bit, and one patch of noise at the same positions."""
    return {
        "a": patch_by_hand(lively, {LAYERS[0]: (0, 1, 2)}),
        "b": patch_by_hand(lively, {LAYERS[0]: (2, 3), LAYERS[1]: (5,)}),
        "c": patch_by_hand(lively, {LAYERS[1]: (7, 8)}),
        "n": patch_by_hand(lively, {LAYERS[0]: (0, 1, 2)}, "noise"),
    }


def test_bits_are_flipped_inside_a_block_and_restored_after_it(lively, patches):
    before = copied_masks(lively.masks)
    with patched(lively, patches["a"], patches["c"]) as inside:
        assert inside is lively
        assert patches_in_force(lively) == (patches["a"], patches["c"])
        for layer in before.shapes:
            differ = (lively.masks["food"][layer] != before["food"][layer]).view(-1).nonzero().view(-1).tolist()
            assert differ == {LAYERS[0]: [0, 1, 2], LAYERS[1]: [7, 8]}.get(layer, [])
            assert torch.equal(lively.masks["noise"][layer], before["noise"][layer])
    assert lively.masks == before
    assert patches_in_force(lively) == ()


def test_predictions_of_other_concepts_stay_the_same_to_the_bit(lively, patches):
    texts = ["the food was good", "a loud place"]
    before = lively.logits(texts)
    with patched(lively, patches["a"], patches["c"]):
        after = lively.logits(texts)
    assert (before.concepts["noise"] == after.concepts["noise"]).all()
    assert (before.concepts["food"] != after.concepts["food"]).any()


def test_no_patch_stays_applied_if_a_later_one_does_not_fit(lively, patches):
    before = copied_masks(lively.masks)
    with pytest.raises(InterventionError, match="collide"), patched(lively, patches["c"], patches["a"], patches["b"]):
        raise AssertionError("not reached")
    assert lively.masks == before
    assert patches_in_force(lively) == ()


def test_the_error_names_colliding_patches(lively, patches):
    apply_patch(lively, patches["a"])
    with pytest.raises(
        InterventionError, match=rf"{patches['a'].id[:12]} collide: both flip bits 2 of layer {LAYERS[0]}"
    ):
        apply_patch(lively, patches["b"])
    apply_patch(lively, patches["n"])  # another concept has other bits at the same positions
    remove_patch(lively, patches["a"])
    apply_patch(lively, patches["b"])
    assert patches_in_force(lively, "food") == (patches["b"],)


def test_a_patch_is_applied_once_and_removed_only_if_applied(lively, patches):
    with pytest.raises(InterventionError, match="is not in force on this model"):
        remove_patch(lively, patches["a"])
    apply_patch(lively, patches["a"])
    with pytest.raises(InterventionError, match="is in force already"):
        apply_patch(lively, patches["a"])


def test_a_child_needs_its_parent(lively, patches):
    child = patch_by_hand(lively, {LAYERS[1]: (9,)}, parent=patches["a"].id)
    with pytest.raises(InterventionError, match="which is not in force"):
        apply_patch(lively, child)
    apply_patch(lively, patches["a"])
    apply_patch(lively, child)
    with pytest.raises(InterventionError, match=f"{child.id[:12]} was made on top of patch {patches['a'].id[:12]}"):
        remove_patch(lively, patches["a"])
    remove_patch(lively, child)
    remove_patch(lively, patches["a"])


def test_patches_of_other_models_masks_and_concepts_are_errors(lively, patches, backbone):
    before = copied_masks(lively.masks)
    cases = [
        (patch_by_hand(lively, {LAYERS[0]: (0,)}, weights="0" * 64), "is for another model"),
        (patch_by_hand(lively, {LAYERS[0]: (0,)}, mask="0" * 64), "is for another mask of 'food'"),
        (MaskPatch(**{**vars_of(patches["a"]), "concept": "fod"}), "unknown concept 'fod'. Did you mean 'food'"),
        (MaskPatch(**{**vars_of(patches["a"]), "dropped": {LAYERS[0]: (10**6,)}}), "position 1000000 is out of range"),
        (MaskPatch(**{**vars_of(patches["a"]), "dropped": {"x": (0,)}}), "unknown masked layer 'x'"),
        (
            MaskPatch(**{**vars_of(patches["a"]), "dropped": patches["a"].grown, "grown": patches["a"].dropped}),
            "does not fit: the bits that it drops",
        ),
    ]
    for patch, message in cases:
        with pytest.raises(InterventionError, match=message):
            apply_patch(lively, patch)
    with pytest.raises(InterventionError, match="the model is dense"):
        apply_patch(tiny_model(backbone), patches["a"])
    assert lively.masks == before
    apply_patch(lively, patches["a"])  # the unchanged patch fits


def vars_of(patch):
    return {name: getattr(patch, name) for name in MaskPatch.__dataclass_fields__}


def test_a_patch_does_not_fit_after_a_weight_changes(lively, patches):
    with torch.no_grad():
        lively.concept_heads.head("noise").bias.add_(1)
    with pytest.raises(InterventionError, match="is for another model"):
        apply_patch(lively, patches["a"])


def test_masks_replaced_under_a_patch_are_an_error(lively, patches):
    first = copied_masks(lively.masks)
    apply_patch(lively, patches["a"])
    lively.masks = first
    with pytest.raises(InterventionError, match="the bits that it drops in layer"):
        remove_patch(lively, patches["a"])


def test_a_patched_copy_is_another_model_that_can_be_reverted(lively, patches, tmp_path):
    before = copied_masks(lively.masks)
    lively.save_pretrained(tmp_path / "before")
    applied = patched_copy(lively, patches["a"], patches["c"], patches["n"])
    assert lively.masks == before
    assert applied.backbone.get_submodule(LAYERS[0]).weight is lively.backbone.get_submodule(LAYERS[0]).weight
    applied.save_pretrained(tmp_path / "after")
    sums = [(tmp_path / name / "checksums.json").read_text() for name in ("before", "after")]
    assert sums[0] != sums[1]
    loaded = SparseCBM.from_pretrained(tmp_path / "after")
    with patched(lively, patches["a"], patches["c"], patches["n"]):
        assert loaded.masks == lively.masks
        expected = lively.logits(["the food was good"]).concepts["food"]
    assert (loaded.logits(["the food was good"]).concepts["food"] == expected).all()
    with pytest.raises(InterventionError, match="is for another mask"):
        apply_patch(loaded, patches["a"])  # the mask already includes the patch
    with pytest.raises(InterventionError, match="other patches are in it; revert all of them together"):
        reverted_copy(loaded, patches["a"])
    assert reverted_copy(loaded, patches["c"], patches["n"], patches["a"]).masks == before
    with pytest.raises(InterventionError, match="are not all 0"):
        reverted_copy(lively, patches["a"])


def test_a_deep_copy_keeps_bits_and_record_and_is_independent(lively, patches):
    original = copied_masks(lively.masks)
    apply_patch(lively, patches["a"])
    apply_patch(lively, patches["n"])
    twin = copy.deepcopy(lively)
    assert twin.masks == lively.masks != original
    assert patches_in_force(twin) == (patches["a"], patches["n"])
    remove_patch(twin, patches["a"])
    remove_patch(twin, patches["n"])
    assert twin.masks == original and patches_in_force(twin) == ()
    assert patches_in_force(lively) == (patches["a"], patches["n"])
    remove_patch(lively, patches["a"])
    remove_patch(lively, patches["n"])
    assert lively.masks == original


def test_a_model_with_other_masks_has_no_patches(lively, patches):
    original = copied_masks(lively.masks)
    with patched(lively, patches["a"]):
        other = with_masks(lively, original)
        assert patches_in_force(other) == ()
        apply_patch(other, patches["a"])
        assert other.masks == lively.masks
        assert patches_in_force(lively) == (patches["a"],)


names = st.sampled_from(["a", "b", "c", "n"])
steps = st.recursive(
    st.tuples(st.sampled_from(["on", "off", "bad"]), names),
    lambda inner: st.tuples(st.just("block"), names, st.lists(inner, max_size=4), st.booleans()),
    max_leaves=12,
)


def test_any_sequence_restores_the_mask_to_the_bit(lively, patches):
    """After any apply, remove, nested block or error, the bits are the original bits xor the applied flips.

    What is applied in a block stays after it; what the block itself applies does not.
    """
    original = copied_masks(lively.masks)
    for_good: list[str] = []
    of_blocks: list[str] = []

    def expected():
        bits = {layer: rows.clone() for layer, rows in original.bits.items()}
        for name in for_good + of_blocks:
            index = original.concepts.index(patches[name].concept)
            for layer, positions in patches[name].flipped.items():
                for position in positions:
                    bits[layer][index][position // 8] ^= 128 >> position % 8
        return MaskSet(original.concepts, original.shapes, bits)

    def fits(name):
        return name not in for_good + of_blocks and not (name in "ab" and {"a", "b"} & {*for_good, *of_blocks})

    def run(step):
        kind, name, *rest = step
        if kind == "on" and fits(name):
            apply_patch(lively, patches[name])
            for_good.append(name)
        elif kind == "off" and name in for_good + of_blocks:
            remove_patch(lively, patches[name])
            (of_blocks if name in of_blocks else for_good).remove(name)
        elif kind == "block" and fits(name):
            inner, fails = rest
            with suppress(ZeroDivisionError), patched(lively, patches[name]):
                of_blocks.append(name)
                for one in inner:
                    run(one)
                if fails:
                    raise ZeroDivisionError
            if name in of_blocks:
                of_blocks.remove(name)
        else:
            change = {
                "on": lambda: apply_patch(lively, patches[name]),
                "off": lambda: remove_patch(lively, patches[name]),
                "block": lambda: patched(lively, patches[name]).__enter__(),
                "bad": lambda: toggle(lively, "food", {**patches[name].flipped, "none": (0,)}),
            }[kind]
            with pytest.raises(InterventionError):
                change()
        assert lively.masks == expected()
        assert [patch.id for patch in patches_in_force(lively)] == [patches[name].id for name in for_good + of_blocks]

    @settings(max_examples=40, deadline=None)
    @given(st.lists(steps, max_size=8))
    def check(sequence):
        for step in sequence:
            run(step)
        for name in list(for_good):
            run(("off", name))
        assert lively.masks == original

    check()
    toggle(lively, "food", {LAYERS[0]: (0,)})
    assert lively.masks != original  # control: the comparison can fail
