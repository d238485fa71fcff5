"""Evidence on how much a subnetwork belongs to its concept: one value for each text, with estimates and intervals.

Every measure of specificity has the same form. A matrix of cells [concept, mask] holds means over the texts, such as
the share of correct predictions. The question is how far the diagonal exceeds the other cells. Models that are measured
on the same texts are compared text by text: their bootstrap resamples are the same, so differences are paired.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from sparsecbm.base.errors import DataError
from sparsecbm.base.form import Form
from sparsecbm.base.metrics import MISSING, interval, resampled_means
from sparsecbm.base.numbers import Number
from sparsecbm.evaluate.pooled import Pooled

# From cells, [..., concepts, masks], to a value of each concept, [..., concepts].
Statistic = Callable[[np.ndarray], np.ndarray]


class Estimate(Form):
    """A value and its interval by bootstrap over clusters of texts."""

    value: Number
    interval: list[Number] = Field(description="95 %")


@dataclass(frozen=True, eq=False)
class Evidence:
    """One value for each text, concept and mask.

    Attributes:
        ids: of the texts
        values: concept -> [texts, masks], with the masks in the order of the concepts; nan where the state is unknown
        clusters: concept -> [texts]
    """

    ids: tuple[str, ...]
    values: dict[str, np.ndarray]
    clusters: dict[str, np.ndarray]

    @property
    def concepts(self) -> tuple[str, ...]:
        """Names of the concepts, and of their masks, in order."""
        return tuple(self.values)

    def cells(self) -> np.ndarray:
        """Means over the texts, [concepts, masks]; nan where no text has a value."""
        known = [np.isfinite(values).all(-1) for values in self.values.values()]
        undefined = np.full(len(self.concepts), np.nan)
        pairs = zip(self.values.values(), known, strict=True)
        return np.stack([values[rows].mean(0) if rows.any() else undefined for values, rows in pairs])

    def draws(self, resamples: int, seed: int) -> np.ndarray:
        """The cells over bootstrap resamples, [resamples, concepts, masks].

        Concepts with equal clusters share their resamples.
        """
        drawn = [resampled_means(v, self.clusters[name], resamples, seed) for name, v in self.values.items()]
        return np.stack(drawn, axis=1)

    def table(self) -> dict[str, dict[str, float]]:
        """The cells by name: concept -> name of the mask's concept -> mean."""
        return {
            concept: dict(zip(self.concepts, row.tolist(), strict=True))
            for concept, row in zip(self.concepts, self.cells(), strict=True)
        }


def correctness(pooled: Pooled, predicted: Mapping[str, np.ndarray]) -> Evidence:
    """Whether each prediction is right, from class indices: concept -> [texts, masks]."""
    values = {}
    for name, classes in predicted.items():
        gold = pooled.gold[name][:, None]
        values[name] = np.where(gold == MISSING, np.nan, classes == gold)
    return Evidence(pooled.ids, values, pooled.clusters)


def row_gaps(cells: np.ndarray) -> np.ndarray:
    """Diagonal minus the mean of the other cells of its row, [..., n, n] -> [..., n]; nan for a single concept."""
    diagonal = np.diagonal(cells, axis1=-2, axis2=-1)
    others = cells.shape[-1] - 1
    # The mean of differences, not the difference of means: equal cells give exactly 0.
    return (diagonal[..., None] - cells).sum(-1) / others if others else np.full_like(diagonal, np.nan)


def column_gaps(cells: np.ndarray) -> np.ndarray:
    """Diagonal minus the mean of the other cells of its column, [..., n, n] -> [..., n]; nan for a single concept."""
    return row_gaps(np.swapaxes(cells, -1, -2))


def estimates(names: tuple[str, ...], values: np.ndarray, draws: np.ndarray) -> dict[str, Estimate]:
    """Estimates by concept, and `mean` over the concepts.

    Args:
        values: [concepts]
        draws: [resamples, concepts]
    """
    by_name = {name: (values[i], draws[:, i]) for i, name in enumerate(names)}
    by_name["mean"] = (values.mean(), draws.mean(1))
    return {name: Estimate(value=value, interval=interval(drawn)) for name, (value, drawn) in by_name.items()}


def gaps(evidence: Evidence, resamples: int, seed: int, statistic: Statistic = row_gaps) -> dict[str, Estimate]:
    """How far each concept exceeds the others, by concept and `mean`."""
    return estimates(evidence.concepts, statistic(evidence.cells()), statistic(evidence.draws(resamples, seed)))


def gap_excess(
    chosen: Evidence, control: Evidence, resamples: int, seed: int, statistic: Statistic = row_gaps
) -> dict[str, Estimate]:
    """The gaps of chosen masks minus those of control masks, by concept and `mean`; paired by text.

    Raises:
        DataError: the two were measured on different texts, gold states or concepts.
    """
    _check_paired(chosen, control)
    values = statistic(chosen.cells()) - statistic(control.cells())
    draws = statistic(chosen.draws(resamples, seed)) - statistic(control.draws(resamples, seed))
    return estimates(chosen.concepts, values, draws)


def _check_paired(chosen: Evidence, control: Evidence) -> None:
    if chosen.concepts != control.concepts:
        raise DataError(
            f"models of other concepts cannot be compared: {list(chosen.concepts)} and {list(control.concepts)}"
        )
    if chosen.ids != control.ids:
        raise DataError(
            f"the models were measured on different texts ({len(chosen.ids)} and {len(control.ids)}, or in another "
            "order); measure both on one table"
        )
    for name in chosen.concepts:
        if not np.array_equal(np.isfinite(chosen.values[name]), np.isfinite(control.values[name])):
            raise DataError(f"the gold states of {name!r} are not known for the same texts; measure both on one table")
