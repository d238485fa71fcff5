"""Patches in force: applied to a model, removed, and made permanent.

They are removed in any order, except that a patch made on top of another must be removed first.

`patched` applies patches in one context, a thread or a task; nobody else sees them, and the model is not written to.
`apply_patch` and `remove_patch` change the model itself, for everybody who uses it. Each patch fits the mask without
any patch, so their order does not matter as long as no two flip the same bit.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.bits import (
    bit_flips,
    bits_at,
    concept_index,
    mask_checksum,
    require_masked_layers,
    toggle,
    toggled,
)
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import weights_checksum
from sparsecbm.model.in_context import BitFlips, changed, changes_of, drop_change
from sparsecbm.model.masked_copy import Model, with_masks


def patches_in_force(model: ConceptBottleneck, concept: str | None = None) -> tuple[MaskPatch, ...]:
    """Return the patches in force in this context, of one concept or of all: those of the model, then of blocks."""
    patches = (*model.applied_patches, *changes_of(model.owner).patches)
    return tuple(patch for patch in patches if concept in (None, patch.concept))


@contextmanager
def patched(model: Model, *patches: MaskPatch) -> Iterator[Model]:
    """Apply patches in this thread or task while the block runs; others see the model without them.

    The masks of the model are not written to, so they are the same to the bit, also after an error. A block may remove
    a patch before it ends.

    Raises:
        InterventionError: as `apply_patch`; then none of them is in force.
    """
    with ExitStack() as stack:
        for patch in patches:
            _check_applicable(model, patch, patches_in_force(model))
            stack.enter_context(changed(model.owner, bit_flips(model, patch.concept, patch.flipped, patch)))
        yield model


def apply_patch(model: ConceptBottleneck, patch: MaskPatch) -> None:
    """Apply a patch to a model for everybody who uses it. No other thread may predict with the model meanwhile.

    Raises:
        InterventionError: the patch was made for other weights or another mask, or was altered; its parent is not in
            force; or it shares bits with a patch in force, which the message names. Then nothing is changed.
    """
    _check_applicable(model, patch, model.applied_patches)
    toggle(model, patch.concept, patch.flipped)
    model.applied_patches = (*model.applied_patches, patch)


def remove_patch(model: ConceptBottleneck, patch: MaskPatch) -> None:
    """Remove a patch, even if others were applied after it: from this context if a block applied it, else for good.

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
    for entry in changes_of(model.owner).entries:
        if isinstance(entry, BitFlips) and entry.patch is not None and entry.patch.id == patch.id:
            drop_change(model.owner, entry)
            return
    toggle(model, patch.concept, patch.flipped)
    model.applied_patches = tuple(other for other in model.applied_patches if other.id != patch.id)


def patched_copy(model: Model, *patches: MaskPatch) -> Model:
    """Return a model with patches made permanent. It shares the weights; its masks and so its checksums are new.

    Raises:
        InterventionError: as `apply_patch`.
    """
    with patched(model, *patches):
        return with_masks(model, model.masks)


def reverted_copy(model: Model, *patches: MaskPatch) -> Model:
    """Return a model without patches that were made permanent.

    All patches of a mask are reverted together, because each fits the mask without any of them.

    Raises:
        InterventionError: the masks differ from those that the patches were made for by more than these patches.
    """
    for patch in patches:
        _check_weights(model, patch)
        _check_bits(model, patch, flipped=True)
    other = with_masks(model, model.masks)
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
    with toggled(model, concept, flipped_positions(model, concept)):
        return mask_checksum(model.masks[concept])


def check_patch_fits(model: ConceptBottleneck, patch: MaskPatch) -> None:
    """Check that a patch was made for this model and mask.

    Raises:
        InterventionError: it was made for others.
    """
    _check_weights(model, patch)
    _check_mask(model, patch)


def _check_applicable(model: ConceptBottleneck, patch: MaskPatch, parents: tuple[MaskPatch, ...]) -> None:
    """Check that a patch can be applied; its parent must be one of the given patches."""
    _check_weights(model, patch)
    others = patches_in_force(model, patch.concept)
    if any(other.id == patch.id for other in others):
        raise InterventionError(f"patch {patch.id[:12]} is in force already")
    if patch.parent is not None and all(other.id != patch.parent for other in parents):
        raise InterventionError(
            f"patch {patch.id[:12]} was made on top of patch {patch.parent[:12]}, which is not in force; "
            "apply that one first"
        )
    _check_mask(model, patch)
    for other in others:
        _check_no_shared_bits(patch, other)
    _check_bits(model, patch, flipped=False)


def _check_weights(model: ConceptBottleneck, patch: MaskPatch) -> None:
    require_masked_layers(model)
    concept_index(model, patch.concept)
    own = weights_checksum(model)
    if own != patch.weights:
        raise InterventionError(
            f"patch {patch.id[:12]} is for another model: the weights have another checksum; it is for the one with "
            f"{patch.weights}, and this model has {own}"
        )


def _check_mask(model: ConceptBottleneck, patch: MaskPatch) -> None:
    own = unpatched_mask_checksum(model, patch.concept)
    if own != patch.mask:
        raise InterventionError(
            f"patch {patch.id[:12]} is for another mask of {patch.concept!r}: it is for the one with the checksum "
            f"{patch.mask}, and this model's has {own}"
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
