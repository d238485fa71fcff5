"""What the masks of a saved model come to: how much each concept keeps, how much concepts share, and what it costs."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.overlap import Overlap
from sparsecbm.model.storage import MASKS, WEIGHTS
from sparsecbm.model.units import find_units, select_pruned_units


@dataclass(frozen=True)
class LayerSummary:
    """One layer: its weights, and the share of them that each concept keeps."""

    weights: int
    density: dict[str, float]


@dataclass(frozen=True)
class ConceptSummary:
    """One concept: the weights it keeps, their share of all under masks, and the share that it alone keeps."""

    kept: int
    density: float
    exclusive: float


@dataclass(frozen=True)
class PairSummary:
    """Overlap of two masks: Jaccard, what random masks of the same densities by layer have, and the difference."""

    jaccard: float
    chance: float
    excess: float


@dataclass(frozen=True)
class OverlapSummary(PairSummary):
    """Means over the pairs; and each pair once, by the names of its concepts. A single concept has no pair."""

    pairs: dict[str, dict[str, PairSummary]]


@dataclass(frozen=True)
class StorageSummary:
    """What lies on disk.

    Attributes:
        bits: of all masks, one a weight and concept
        masks_bytes: of the file that holds them
        bits_each: of that file, by weight and concept: 1 and what names and padding add
        weights_bytes: of the file with the model's weights, which are there once, kept or not
    """

    bits: int
    masks_bytes: int
    bits_each: float
    weights_bytes: int


@dataclass(frozen=True)
class MaskSummary:
    """The masks of one model.

    Attributes:
        weights: how many the masks speak of
        concepts: by name
        layers: by name in the backbone
        core: share of the weights that every concept keeps
        unused: share of the weights that no concept keeps
        structured: whether every mask keeps or drops whole heads and neurons, so that the model can be made compact
        sha256: content hash of the masks
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


def mask_summary(folder: Path) -> MaskSummary:
    """Summarise the masks of a model folder.

    Raises:
        ModelError: there is no whole model in the folder, or it has no masks.
    """
    folder = Path(folder)
    model = SparseCBM.from_pretrained(folder)
    try:
        shared = model.overlap()
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    masks = model.masks
    density = {mask.name: mask.density_by_layer() for mask in masks}
    bits, masks_bytes = masks.size * len(masks), (folder / MASKS).stat().st_size
    return MaskSummary(
        weights=masks.size,
        concepts={m.name: ConceptSummary(m.weights, m.density, shared.exclusive[m.name]) for m in masks},
        layers={
            layer: LayerSummary(prod(shape), {name: density[name][layer] for name in masks.concepts})
            for layer, shape in masks.shapes.items()
        },
        core=shared.core,
        unused=1 - masks.union().density,
        overlap=_overlap_summary(shared),
        structured=is_structured(model, masks),
        storage=StorageSummary(bits, masks_bytes, 8 * masks_bytes / bits, (folder / WEIGHTS).stat().st_size),
        sha256=masks.content_hash(),
    )


def is_structured(model: SparseCBM, masks: MaskSet) -> bool:
    """Whether every mask keeps or drops whole heads and neurons of the model's backbone."""
    try:
        units = select_pruned_units(find_units(model.backbone), masks.shapes)
        for mask in masks:
            for group in units:
                group.kept(mask)
    except (ConfigError, ModelError):  # masks over parts of units, a cut unit, or a family whose units are not known
        return False
    return True


def _overlap_summary(shared: Overlap) -> OverlapSummary:
    pairs: dict[str, dict[str, PairSummary]] = {}
    for (first, second), pair in shared.pairs.items():
        pairs.setdefault(first, {})[second] = PairSummary(pair.jaccard, pair.chance, pair.excess)
    return OverlapSummary(shared.jaccard, shared.chance, shared.jaccard - shared.chance, pairs)
