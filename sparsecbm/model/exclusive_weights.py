"""Masks without the weights that one concept alone keeps: what a concept loses when its own part is removed."""

from collections.abc import Iterable

from sparsecbm.model.masks import MaskSet


def without_exclusive(masks: MaskSet, concepts: Iterable[str]) -> MaskSet:
    """The masks of all concepts, without the exclusive weights of the named ones.

    A weight is exclusive to a concept if no other concept keeps it, so the masks of the other concepts do not change.
    """
    bits = dict(masks.bits)
    for name in concepts:
        exclusive = masks.exclusive(name).bits
        bits = {layer: rows & ~exclusive[layer] for layer, rows in bits.items()}
    return MaskSet(masks.concepts, masks.shapes, bits)
