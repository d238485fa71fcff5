"""Do figures vary enough to be shown? What a setting makes equal for all concepts says nothing of the model."""

from collections.abc import Iterable, Mapping

LEAST_RANGE = 0.2  # part of the largest share; a map of shares that differ by less is one colour


def shares_vary(layers: Mapping[str, Mapping[str, Mapping[str, float]]], kind: str) -> bool:
    """Whether shares of layers differ enough.

    Thresholds by layer make densities the same everywhere, and a common core does nearly the same for `exclusive`.

    Args:
        layers: `chosen.layers` of `metrics/prune.json`
        kind: density | exclusive
    """
    return _vary(share for by_kind in layers.values() for share in by_kind[kind].values())


def overlaps_vary(overlap: Mapping) -> bool:
    """Whether overlaps differ enough: a common core of masks of one size leaves them little room.

    Args:
        overlap: `chosen.overlap` of `metrics/prune.json`
    """
    return _vary(pair["jaccard"] for pairs in overlap["pairs"].values() for pair in pairs.values())


def densities_vary(densities: Mapping[str, float]) -> bool:
    """Whether the sizes of the subnetworks differ by a hundredth: the sparsity makes them equal, unless some
    concepts have not earned weights of their own.

    Args:
        densities: `chosen.density_by_concept` of `metrics/prune.json`
    """
    return len({round(density, 2) for density in densities.values()}) > 1


def _vary(shares: Iterable[float]) -> bool:
    known = list(shares)
    return bool(known) and max(known) - min(known) > LEAST_RANGE * max(known)
