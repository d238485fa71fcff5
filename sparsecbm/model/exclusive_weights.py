"""Masks without the weights that one concept alone keeps: what a concept loses when its own part is removed."""

from collections.abc import Iterable, Sequence

from sparsecbm.model.masks import MaskSet


def without_exclusive(masks: MaskSet, concepts: Iterable[str], others: Sequence[str] | None = None) -> MaskSet:
    """The masks of all concepts; the named ones lack their exclusive weights.

    Args:
        others: a weight is exclusive to a concept if none of these keeps it, itself apart; by default all concepts

    Raises:
        ConfigError: unknown concept; the message lists the choices.
    """
    others = masks.concepts if others is None else others
    bits = {layer: rows.clone() for layer, rows in masks.bits.items()}
    for name in concepts:
        exclusive = masks.of(list(dict.fromkeys([name, *others]))).exclusive(name).bits
        row = masks.concepts.index(name)
        for layer, rows in bits.items():
            rows[row] &= ~exclusive[layer]
    return MaskSet(masks.concepts, masks.shapes, bits)
