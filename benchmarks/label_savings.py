"""How many labels one order needs for the kappa that another one reaches with more."""

import numpy as np

LEVELS = (400, 800, 1200, 1600)  # labels of the other order

Curve = dict[str, list[float]]  # `labels`, and the kappa on each held-out part


def labels_needed(points: Curve, part: str, kappa: float) -> float:
    """Labels at which a curve first reaches a kappa, by linear interpolation; the last number if it never does."""
    labels, kappas = points["labels"], points[part]
    if max(kappas) < kappa:
        return labels[-1]
    after = next(i for i, reached in enumerate(kappas) if reached >= kappa)
    before = max(after - 1, 0)
    return float(np.interp(kappa, [kappas[before], kappas[after]], [labels[before], labels[after]]))


def shares(curves: dict[str, Curve], random: dict[str, Curve], part: str) -> dict[str, dict]:
    """For each level the kappa of the random order, and the share of its labels that the other order needs, by seed.

    Both orders count until they first reach this kappa, so a bump in either curve counts alike.
    """
    result = {}
    for level in LEVELS:
        kappas = {seed: float(np.interp(level, random[seed]["labels"], random[seed][part])) for seed in curves}
        by_seed = [
            labels_needed(curves[seed], part, kappa) / labels_needed(random[seed], part, kappa)
            for seed, kappa in kappas.items()
        ]
        result[str(level)] = {
            "kappa": [round(kappa, 4) for kappa in kappas.values()],
            "share": [round(share, 4) for share in by_seed],
        }
    return result
