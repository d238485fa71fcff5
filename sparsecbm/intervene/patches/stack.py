"""Patches in force: applied to a model, removed, and made permanent.

They are removed in any order, except that a patch made on top of another must be removed first.

A model records the patches in force on it, in `applied_patches`. Each of them fits the mask without any patch, so their
order does not matter as long as no two flip the same bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.bits import bits_at, concept_index, mask_checksum, masked_layers, toggle
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import weights_checksum
from sparsecbm.model.masked_copy import Model, with_masks
from sparsecbm.model.masks import MaskSet


def patches_in_force(model: ConceptBottleneck, concept: str | None = None) -> tuple[MaskPatch, ...]:
    """Return the patches in force, in the order in which they were applied; of one concept, or of all."""
    return tuple(patch for patch in model.applied_patches if concept in (None, patch.concept))


@contextmanager
def patched(model: Model, *patches: MaskPatch) -> Iterator[Model]:
    """Apply patches while the block runs. Afterwards every mask is as it was, to the bit, also after an error.

    Raises:
        InterventionError: as `apply_patch`; then none of them is in force.
    """
    applied: list[MaskPatch] = []
    try:
        for patch in patches:
            apply_patch(model, patch)
            applied.append(patch)
        yield model
    finally:
        for patch in reversed(applied):
            if patch in patches_in_force(model):  # the block may have removed it itself
                remove_patch(model, patch)


def apply_patch(model: ConceptBottleneck, patch: MaskPatch) -> None:
    """Apply a patch to a model, in place.

    Raises:
        InterventionError: the patch was made for other weights or another mask, or was altered; its parent is not in
            force; or it shares bits with a patch in force, which the message names. Then nothing is changed.
    """
    _check_weights(model, patch)
    others = patches_in_force(model, patch.concept)
    if any(other.id == patch.id for other in others):
        raise InterventionError(f"patch {patch.id[:12]} is in force already")
    if patch.parent is not None and all(other.id != patch.parent for other in others):
        raise InterventionError(
            f"patch {patch.id[:12]} was made on top of patch {patch.parent[:12]}, which is not in force; "
            "apply that one first"
        )
    _check_mask(model, patch)
    for other in others:
        _check_no_shared_bits(patch, other)
    _check_bits(model, patch, flipped=False)
    toggle(model, patch.concept, patch.flipped)
    model.applied_patches = (*model.applied_patches, patch)


def remove_patch(model: ConceptBottleneck, patch: MaskPatch) -> None:
    """Remove a patch, in place, even if others were applied after it.

    Raises:
        InterventionError: it is not in force, another one was made on top of it, or the masks were replaced meanwhile.
    """
    others = tuple(other for other in patches_in_force(model) if other.id != patch.id)
    if len(others) == len(patches_in_force(model)):
        raise InterventionError(f"patch {patch.id[:12]} is not in force on this model")
    for other in others:
        if other.parent == patch.id:
            raise InterventionError(
                f"patch {other.id[:12]} was made on top of patch {patch.id[:12]}; remove that one first"
            )
    _check_bits(model, patch, flipped=True)
    toggle(model, patch.concept, patch.flipped)
    model.applied_patches = others


def patched_copy(model: Model, *patches: MaskPatch) -> Model:
    """Return a model with patches made permanent. It shares the weights; its masks and so its checksums are new.

    Raises:
        InterventionError: as `apply_patch`.
    """
    with patched(model, *patches):
        return with_masks(model, _copied_masks(model.masks))


def reverted_copy(model: Model, *patches: MaskPatch) -> Model:
    """Return a model without patches that were made permanent.

    All patches of a mask are reverted together, because each fits the mask without any of them.

    Raises:
        InterventionError: the masks differ from those that the patches were made for by more than these patches.
    """
    for patch in patches:
        _check_weights(model, patch)
        _check_bits(model, patch, flipped=True)
    other = with_masks(model, _copied_masks(model.masks))
    for patch in patches:
        toggle(other, patch.concept, patch.flipped)
    for patch in patches:
        if mask_checksum(other.masks[patch.concept]) != patch.mask:
            raise InterventionError(
                f"without patch {patch.id[:12]} the mask of {patch.concept!r} is not the one that the patch was made "
                "for: other patches are in it; revert all of them together"
            )
    return other


def flipped_positions(model: ConceptBottleneck, concept: str) -> dict[str, tuple[int, ...]]:
    """Return the bits that patches in force on a concept have flipped, by layer."""
    positions: dict[str, tuple[int, ...]] = {}
    for patch in patches_in_force(model, concept):
        for layer, layer_positions in patch.flipped.items():
            positions[layer] = (*positions.get(layer, ()), *layer_positions)
    return positions


def unpatched_mask_checksum(model: ConceptBottleneck, concept: str) -> str:
    """Return the checksum of a concept's mask without the patches in force."""
    flipped = flipped_positions(model, concept)
    toggle(model, concept, flipped)
    try:
        return mask_checksum(model.masks[concept])
    finally:
        toggle(model, concept, flipped)


def check_patch_fits(model: ConceptBottleneck, patch: MaskPatch) -> None:
    """Check that a patch was made for this model and mask.

    Raises:
        InterventionError: it was made for others.
    """
    _check_weights(model, patch)
    _check_mask(model, patch)


def _check_weights(model: ConceptBottleneck, patch: MaskPatch) -> None:
    masked_layers(model)
    concept_index(model, patch.concept)
    if weights_checksum(model) != patch.weights:
        raise InterventionError(f"patch {patch.id[:12]} is for another model: the weights have another checksum")


def _check_mask(model: ConceptBottleneck, patch: MaskPatch) -> None:
    if unpatched_mask_checksum(model, patch.concept) != patch.mask:
        raise InterventionError(
            f"patch {patch.id[:12]} is for another mask of {patch.concept!r}: it has another checksum"
        )


def _check_bits(model: ConceptBottleneck, patch: MaskPatch, flipped: bool) -> None:
    """Check that dropped bits are 1 and grown ones 0, or the other way round once they are flipped."""
    for kind, positions, expected in (("drops", patch.dropped, not flipped), ("grows", patch.grown, flipped)):
        for layer, bits in bits_at(model, patch.concept, positions).items():
            if bool((bits != expected).any()):
                raise InterventionError(
                    f"patch {patch.id[:12]} does not fit: the bits that it {kind} in layer {layer} are not all "
                    f"{int(expected)}"
                )


def _check_no_shared_bits(patch: MaskPatch, other: MaskPatch) -> None:
    for layer, positions in patch.flipped.items():
        shared = sorted(set(positions) & set(other.flipped.get(layer, ())))
        if shared:
            more = "" if len(shared) <= 5 else f" and {len(shared) - 5} more"
            raise InterventionError(
                f"patches {patch.id[:12]} and {other.id[:12]} collide: both flip bits "
                f"{', '.join(map(str, shared[:5]))}{more} of layer {layer}; remove the other one first"
            )


def _copied_masks(masks: MaskSet) -> MaskSet:
    return MaskSet(masks.concepts, masks.shapes, {layer: bits.clone() for layer, bits in masks.bits.items()})
