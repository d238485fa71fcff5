"""A summary of a saved model's masks: what each concept keeps, what concepts share, and what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ModelError
from sparsecbm.explain.parts import Parts, PartTexts, describe_parts
from sparsecbm.explain.subnetworks import describe_subnetworks
from sparsecbm.model.compact import weights_after_cut
from sparsecbm.model.overlap import Overlap
from sparsecbm.model.storage import MASKS, WEIGHTS

PART_TEXTS = 32  # texts behind the effects of heads and neurons


@dataclass(frozen=True)
class LayerSummary:
    """One layer: its number of weights, and the share that each concept keeps."""

    weights: int
    density: dict[str, float]


@dataclass(frozen=True)
class ConceptSummary:
    """One concept: the number and share of masked weights that it keeps, and the share that it alone keeps."""

    kept: int
    density: float
    exclusive: float


@dataclass(frozen=True)
class PairSummary:
    """Overlap of two masks: Jaccard, its value for random masks of equal layer densities, and the difference."""

    jaccard: float
    chance: float
    excess: float


@dataclass(frozen=True)
class OverlapSummary(PairSummary):
    """Means over all pairs, and each pair once by its concept names; a single concept has no pair."""

    pairs: dict[str, dict[str, PairSummary]]


@dataclass(frozen=True)
class StorageSummary:
    """Sizes on disk.

    Attributes:
        bits: of all masks, one per weight and concept
        masks_bytes: size of the mask file
        bits_each: size of the mask file per weight and concept: 1, plus names and padding
        weights_bytes: size of the weight file, which holds every weight once
    """

    bits: int
    masks_bytes: int
    bits_each: float
    weights_bytes: int


@dataclass(frozen=True)
class MaskSummary:
    """The masks of one model.

    Attributes:
        weights: number of masked weights
        concepts: by name
        layers: by name in the backbone
        core: share of the weights that every concept keeps
        unused: share of the weights that no concept keeps
        structured: whether masks drop whole heads or neurons, which `model.compact()` cuts out
        sha256: content hash of the masks
        parts: concept -> heads and strongest neurons, measured on texts; empty if none were given
        parts_note: why there are no parts, although texts were given
    """

    weights: int
    concepts: dict[str, ConceptSummary]
    layers: dict[str, LayerSummary]
    core: float
    unused: float
    overlap: OverlapSummary
    structured: bool
    storage: StorageSummary
    sha256: str
    parts: dict[str, Parts]
    parts_note: str | None


def summarize_masks(folder: Path, texts: Sequence[str] = ()) -> MaskSummary:
    """Summarise the masks of a model folder.

    Args:
        texts: on which the parts of subnetworks are measured: effects on the first of them, words of neurons on all

    Raises:
        ModelError: the folder holds no valid model, or the model has no masks.
    """
    folder = Path(folder)
    model = SparseCBM.from_pretrained(folder)
    try:
        overlap = model.overlap()
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    masks = model.masks
    parts, note = _parts(model, texts)
    density = {mask.name: mask.density_by_layer() for mask in masks}
    bits, masks_bytes = masks.size * len(masks), (folder / MASKS).stat().st_size
    return MaskSummary(
        weights=masks.size,
        concepts={m.name: ConceptSummary(m.weights, m.density, overlap.exclusive[m.name]) for m in masks},
        layers={
            layer: LayerSummary(prod(shape), {name: density[name][layer] for name in masks.concepts})
            for layer, shape in masks.shapes.items()
        },
        core=overlap.core,
        unused=1 - masks.union().density,
        overlap=_overlap_summary(overlap),
        structured=weights_after_cut(model) is not None,
        storage=StorageSummary(bits, masks_bytes, 8 * masks_bytes / bits, (folder / WEIGHTS).stat().st_size),
        sha256=masks.content_hash(),
        parts=parts,
        parts_note=note,
    )


def _parts(model: SparseCBM, texts: Sequence[str]) -> tuple[dict[str, Parts], str | None]:
    """The parts by concept, and why there are none although there are texts."""
    if not texts:
        return {}, None
    shown = texts[:PART_TEXTS]
    groups = list(map(str, range(len(shown))))
    try:
        return describe_parts(model, describe_subnetworks(model), PartTexts(shown, groups, texts)), None
    except ModelError as error:
        return {}, str(error)


def _overlap_summary(overlap: Overlap) -> OverlapSummary:
    pairs: dict[str, dict[str, PairSummary]] = {}
    for (first, second), pair in overlap.pairs.items():
        pairs.setdefault(first, {})[second] = PairSummary(pair.jaccard, pair.chance, pair.excess)
    return OverlapSummary(overlap.jaccard, overlap.chance, overlap.jaccard - overlap.chance, pairs)
