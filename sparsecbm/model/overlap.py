"""How much the masks of concepts overlap, compared with chance.

Two random masks of densities d_i and d_j overlap with Jaccard d_i d_j / (d_i + d_j - d_i d_j), layer by layer.
"""

from dataclasses import dataclass
from itertools import combinations
from math import prod

from sparsecbm.base.rich import Rich
from sparsecbm.model.masks import MaskSet, count


@dataclass(frozen=True)
class PairOverlap:
    """Jaccard index of two masks, and the one expected of random masks with the same density in each layer."""

    jaccard: float
    chance: float

    @property
    def excess(self) -> float:
        """Overlap above chance."""
        return self.jaccard - self.chance


@dataclass(frozen=True, repr=False)
class Overlap(Rich):
    """Overlap of the masks of all concepts.

    Attributes:
        pairs: overlap of every two concepts over all layers
        by_layer: layer -> overlap of every two concepts
        core: share of weights that every concept keeps
        exclusive: concept -> share of weights that only this concept keeps
    """

    pairs: dict[tuple[str, str], PairOverlap]
    by_layer: dict[str, dict[tuple[str, str], PairOverlap]]
    core: float
    exclusive: dict[str, float]

    def __repr__(self) -> str:
        figures = f"{self.jaccard:.3f} on average, {self.chance:.3f} by chance; {self.core:.1%} in all masks"
        return f"<{type(self).__name__}: of {len(self.exclusive)} masks, {figures}>"

    @property
    def jaccard(self) -> float:
        """Mean Jaccard index of the pairs."""
        return _mean([pair.jaccard for pair in self.pairs.values()])

    @property
    def chance(self) -> float:
        """Mean Jaccard index that chance gives the pairs."""
        return _mean([pair.chance for pair in self.pairs.values()])


def compute_overlap(masks: MaskSet) -> Overlap:
    """Compare all pairs of masks. A single concept has no pairs, so its means are 1."""
    by_layer: dict[str, dict[tuple[str, str], PairOverlap]] = {}
    sums: dict[tuple[str, str], list[float]] = {}
    for layer, bits in masks.bits.items():
        size, by_layer[layer] = prod(masks.shapes[layer]), {}
        for (i, first), (j, second) in combinations(enumerate(masks.concepts), 2):
            both, either = count(bits[i] & bits[j]), count(bits[i] | bits[j])
            likely = count(bits[i]) * count(bits[j]) / size  # expected intersection of random masks
            likely_either = count(bits[i]) + count(bits[j]) - likely
            by_layer[layer][first, second] = PairOverlap(_ratio(both, either), _ratio(likely, likely_either))
            total = sums.setdefault((first, second), [0.0, 0.0, 0.0, 0.0])
            for index, value in enumerate((both, either, likely, likely_either)):
                total[index] += value
    pairs = {pair: PairOverlap(_ratio(s[0], s[1]), _ratio(s[2], s[3])) for pair, s in sums.items()}
    exclusive = {name: masks.exclusive(name).density for name in masks.concepts}
    return Overlap(pairs, by_layer, masks.core().density, exclusive)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0  # two empty masks are the same


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 1.0
