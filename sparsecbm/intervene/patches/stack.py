"""Patches in force: put on, taken off in any order, and made permanent.

A model knows which patches are in force on it. Each fits the mask as it is without any of them, so the order does not
matter as long as no two touch the same bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.bits import bits_at, concept_index, mask_checksum, masked_layers, toggle
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import weights_checksum
from sparsecbm.model.masked_copy import with_masks
from sparsecbm.model.masks import MaskSet

_in_force: WeakKeyDictionary[ConceptBottleneck, list[MaskPatch]] = WeakKeyDictionary()


def patches_of(model: ConceptBottleneck, concept: str | None = None) -> tuple[MaskPatch, ...]:
    """The patches in force, in the order in which they were put on; of one concept, or of all."""
    return tuple(patch for patch in _in_force.get(model, ()) if concept in (None, patch.concept))


@contextmanager
def patched(model: ConceptBottleneck, *patches: MaskPatch) -> Iterator[ConceptBottleneck]:
    """Put patches on while the block runs; afterwards, also after an error, every mask is as it was, to the bit.

    Raises:
        InterventionError: as `apply_patch`; then none of them is in force.
    """
    done: list[MaskPatch] = []
    try:
        for patch in patches:
            apply_patch(model, patch)
            done.append(patch)
        yield model
    finally:
        for patch in reversed(done):
            if patch in patches_of(model):  # the block may have taken it off itself
                remove_patch(model, patch)


def apply_patch(model: ConceptBottleneck, patch: MaskPatch) -> None:
    """Put a patch on a model, in place.

    Raises:
        InterventionError: it was made for other weights or another mask, or has been tampered with, its parent is not
            in force, or it shares bits with one that is (names them); nothing is changed then.
    """
    _check_weights(model, patch)
    others = patches_of(model, patch.concept)
    if any(other.id == patch.id for other in others):
        raise InterventionError(f"patch {patch.id[:12]} is in force already")
    if patch.parent is not None and all(other.id != patch.parent for other in others):
        raise InterventionError(
            f"patch {patch.id[:12]} was made on top of patch {patch.parent[:12]}, which is not in force; "
            "put that on first"
        )
    _check_mask(model, patch)
    for other in others:
        _check_apart(patch, other)
    _check_bits(model, patch, flipped=False)
    toggle(model, patch.concept, patch.flipped)
    _in_force.setdefault(model, []).append(patch)


def remove_patch(model: ConceptBottleneck, patch: MaskPatch) -> None:
    """Take a patch off again, in place, whatever was put on after it.

    Raises:
        InterventionError: it is not in force, another one was made on top of it, or the masks were replaced meanwhile.
    """
    others = [other for other in patches_of(model) if other.id != patch.id]
    if len(others) == len(patches_of(model)):
        raise InterventionError(f"patch {patch.id[:12]} is not in force on this model")
    for other in others:
        if other.parent == patch.id:
            raise InterventionError(
                f"patch {other.id[:12]} was made on top of patch {patch.id[:12]}; take that off first"
            )
    _check_bits(model, patch, flipped=True)
    toggle(model, patch.concept, patch.flipped)
    _in_force[model] = others


def patched_copy(model: ConceptBottleneck, *patches: MaskPatch) -> ConceptBottleneck:
    """A model with patches made permanent: it shares the weights, and its masks and so its checksums are new.

    Raises:
        InterventionError: as `apply_patch`.
    """
    with patched(model, *patches):
        return with_masks(model, _copied(model.masks))


def reverted_copy(model: ConceptBottleneck, *patches: MaskPatch) -> ConceptBottleneck:
    """A model without patches that were made permanent: all that were, at once, since each fits the mask without any.

    Raises:
        InterventionError: they are not all that was changed in the masks that they were made for.
    """
    for patch in patches:
        _check_weights(model, patch)
        _check_bits(model, patch, flipped=True)
    other = with_masks(model, _copied(model.masks))
    for patch in patches:
        toggle(other, patch.concept, patch.flipped)
    for patch in patches:
        if mask_checksum(other.masks[patch.concept]) != patch.mask:
            raise InterventionError(
                f"without patch {patch.id[:12]} the mask of {patch.concept!r} is not the one that it was made for: "
                "other patches are in it; revert all of them together"
            )
    return other


def flipped_positions(model: ConceptBottleneck, concept: str) -> dict[str, tuple[int, ...]]:
    """Bits that patches in force on a concept have flipped, by layer."""
    found: dict[str, tuple[int, ...]] = {}
    for patch in patches_of(model, concept):
        for layer, positions in patch.flipped.items():
            found[layer] = (*found.get(layer, ()), *positions)
    return found


def bare_checksum(model: ConceptBottleneck, concept: str) -> str:
    """Checksum of a concept's mask without the patches in force."""
    touched = flipped_positions(model, concept)
    toggle(model, concept, touched)
    try:
        return mask_checksum(model.masks[concept])
    finally:
        toggle(model, concept, touched)


def check_fit(model: ConceptBottleneck, patch: MaskPatch) -> None:
    """See that a patch was made for this model and mask.

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
    if bare_checksum(model, patch.concept) != patch.mask:
        raise InterventionError(
            f"patch {patch.id[:12]} is for another mask of {patch.concept!r}: it has another checksum"
        )


def _check_bits(model: ConceptBottleneck, patch: MaskPatch, flipped: bool) -> None:
    """See that dropped bits are 1 and grown ones 0, or the other way round once they are flipped."""
    for kind, positions, expected in (("dropped", patch.dropped, not flipped), ("grown", patch.grown, flipped)):
        for layer, bits in bits_at(model, patch.concept, positions).items():
            if bool((bits != expected).any()):
                raise InterventionError(
                    f"patch {patch.id[:12]} does not fit: bits that it has {kind} in layer {layer} are not all "
                    f"{int(expected)}"
                )


def _check_apart(patch: MaskPatch, other: MaskPatch) -> None:
    for layer, positions in patch.flipped.items():
        shared = sorted(set(positions) & set(other.flipped.get(layer, ())))
        if shared:
            more = "" if len(shared) <= 5 else f" and {len(shared) - 5} more"
            raise InterventionError(
                f"patches {patch.id[:12]} and {other.id[:12]} collide: both flip bits "
                f"{', '.join(map(str, shared[:5]))}{more} of layer {layer}; take the other off first"
            )


def _copied(masks: MaskSet) -> MaskSet:
    return MaskSet(masks.concepts, masks.shapes, {layer: bits.clone() for layer, bits in masks.bits.items()})
