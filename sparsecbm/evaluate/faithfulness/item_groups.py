"""How scores of items are averaged: by concept, with bootstrap resamples of clusters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sparsecbm.base.metrics import interval, resampled_means
from sparsecbm.evaluate.evidence import Estimate


@dataclass(frozen=True, eq=False)
class ItemGroups:
    """The concepts and clusters of items.

    Attributes:
        concepts: [items], the concept of each item
        clusters: [items]; items of one cluster are not independent evidence
        resamples: bootstrap resamples for each interval
        seed: of the resamples
    """

    concepts: Sequence[str]
    clusters: Sequence[str]
    resamples: int
    seed: int

    def by_concept(self) -> Iterator[tuple[str, np.ndarray]]:
        """The name of each concept, with the truth values of its items, [items]."""
        concepts = np.asarray(self.concepts)
        for name in dict.fromkeys(concepts.tolist()):
            yield name, concepts == name

    def draws(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Resampled means of some items, [resamples, columns].

        Args:
            columns: [items, columns]
            rows: [items], truth values
        """
        return resampled_means(columns[rows], np.asarray(self.clusters)[rows], self.resamples, self.seed)


def mean_by_concept(values: np.ndarray, groups: ItemGroups) -> dict[str, Estimate]:
    """Means over items by concept, and `mean` over the concepts. Concepts without a value are left out.

    Args:
        values: [items]; nan for an item without a value
    """
    estimates, means, draws = {}, [], []
    for name, of_concept in groups.by_concept():
        rows = of_concept & np.isfinite(values)
        if rows.any():
            means.append(values[rows].mean())
            draws.append(groups.draws(values[:, None], rows)[:, 0])
            estimates[name] = Estimate(value=means[-1], interval=interval(draws[-1]))
    if estimates:
        estimates["mean"] = Estimate(value=np.mean(means), interval=interval(np.mean(draws, axis=0)))
    return estimates
