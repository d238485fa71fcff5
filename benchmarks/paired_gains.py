"""Summaries of runs over seeds: mean scores, and gains paired by seed."""

from collections.abc import Mapping

import numpy as np
from scipy import stats

SCORES = ("concepts", "label")
Scores = Mapping[str, float]  # name of a score -> accuracy


def paired(differences: list[float]) -> dict:
    """Return the mean of paired differences with its 95 % interval by Student's t; no interval of a single one."""
    mean, count = float(np.mean(differences)), len(differences)
    if count < 2:
        return {"value": round(mean, 5)}
    half = float(stats.t.ppf(0.975, count - 1) * np.std(differences, ddof=1) / np.sqrt(count))
    return {"value": round(mean, 5), "interval": [round(mean - half, 5), round(mean + half, 5)]}


def summarise(arm: Mapping[str, Scores], against: Mapping[str, Scores] | None = None) -> dict:
    """Return the mean of each score over the seeds of an arm, and its gain over another arm, paired by seed.

    Args:
        arm, against: seed -> scores; seeds that only one of them has do not count for the gain
    """
    entry: dict = {"seeds": len(arm)}
    for score in SCORES:
        values = [round(scores[score], 5) for scores in arm.values()]
        entry[score] = {"mean": round(float(np.mean(values)), 5), "by_seed": values}
        shared = [seed for seed in arm if seed in (against or {})]
        if against and shared:
            entry[score]["gain"] = paired([arm[seed][score] - against[seed][score] for seed in shared])
    return entry
