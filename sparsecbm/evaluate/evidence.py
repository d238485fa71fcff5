"""Per-text evidence on how much a subnetwork belongs to its concept, and estimates with intervals from it.

All measures of specificity have one form: a square of cells [concept, whose mask], each the mean over the texts of
a value that every text has (read rightly or not), and the question how far the diagonal stands out. Models that
were measured on the same texts are compared text by text: their resamples are the same, so differences are paired.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sparsecbm.base.errors import DataError
from sparsecbm.base.metrics import MISSING, interval, resampled_means
from sparsecbm.evaluate.pooled import Pooled


def _six_decimals(value: float | None) -> float | None:
    return round(float(value), 6) if value is not None and np.isfinite(value) else None


# Six decimals, and null for what is not defined.
Number = Annotated[float | None, BeforeValidator(_six_decimals)]
# From cells, [..., concepts, masks], to a value of each concept, [..., concepts].
Statistic = Callable[[np.ndarray], np.ndarray]


class Form(BaseModel):
    """A frozen part of a metrics file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_dict(self) -> dict:
        """Plain form, as JSON holds it."""
        return self.model_dump()


class Estimate(Form):
    """A value and its interval by bootstrap over clusters of texts."""

    value: Number
    interval: list[Number] = Field(description="95 %")


@dataclass(frozen=True, eq=False)
class Evidence:
    """One value for each text, concept and mask.

    Attributes:
        ids: of the texts
        values: concept -> [texts, masks], the masks in the order of the concepts; nan where the state is not known
        clusters: concept -> [texts]
    """

    ids: tuple[str, ...]
    values: dict[str, np.ndarray]
    clusters: dict[str, np.ndarray]

    @property
    def concepts(self) -> tuple[str, ...]:
        """Names, in order; those of the masks as well."""
        return tuple(self.values)

    def cells(self) -> np.ndarray:
        """Means over the texts, [concepts, masks]; nan where no text has a value."""
        known = [np.isfinite(values).all(-1) for values in self.values.values()]
        nothing = np.full(len(self.concepts), np.nan)
        pairs = zip(self.values.values(), known, strict=True)
        return np.stack([values[rows].mean(0) if rows.any() else nothing for values, rows in pairs])

    def draws(self, resamples: int, seed: int) -> np.ndarray:
        """The cells over bootstrap resamples, [resamples, concepts, masks].

        Concepts that share their clusters are drawn together, others apart.
        """
        drawn = [resampled_means(v, self.clusters[name], resamples, seed) for name, v in self.values.items()]
        return np.stack(drawn, axis=1)

    def table(self) -> dict[str, dict[str, float]]:
        """The cells by name: concept -> whose mask -> mean."""
        return {
            concept: dict(zip(self.concepts, row.tolist(), strict=True))
            for concept, row in zip(self.concepts, self.cells(), strict=True)
        }


def correctness(pooled: Pooled, read: Mapping[str, np.ndarray]) -> Evidence:
    """Which texts were read rightly, from class indices: concept -> [texts, masks]."""
    values = {}
    for name, classes in read.items():
        gold = pooled.gold[name][:, None]
        values[name] = np.where(gold == MISSING, np.nan, classes == gold)
    return Evidence(pooled.ids, values, pooled.clusters)


def row_gaps(cells: np.ndarray) -> np.ndarray:
    """Diagonal minus the mean of the rest of its row, [..., n, n] -> [..., n]; nan for a single concept."""
    own = np.diagonal(cells, axis1=-2, axis2=-1)
    others = cells.shape[-1] - 1
    # Differences first, and their mean after: cells that are all alike give exactly 0.
    return (own[..., None] - cells).sum(-1) / others if others else np.full_like(own, np.nan)


def column_gaps(cells: np.ndarray) -> np.ndarray:
    """Diagonal minus the mean of the rest of its column, [..., n, n] -> [..., n]; nan for a single concept."""
    return row_gaps(np.swapaxes(cells, -1, -2))


def estimates(names: tuple[str, ...], values: np.ndarray, draws: np.ndarray) -> dict[str, Estimate]:
    """By concept, and `mean` over them.

    Args:
        values: [concepts]
        draws: [resamples, concepts]
    """
    by_name = {name: (values[i], draws[:, i]) for i, name in enumerate(names)}
    by_name["mean"] = (values.mean(), draws.mean(1))
    return {name: Estimate(value=value, interval=interval(drawn)) for name, (value, drawn) in by_name.items()}


def gaps(evidence: Evidence, resamples: int, seed: int, statistic: Statistic = row_gaps) -> dict[str, Estimate]:
    """How far each concept stands out, by concept and `mean`."""
    return estimates(evidence.concepts, statistic(evidence.cells()), statistic(evidence.draws(resamples, seed)))


def gap_excess(
    chosen: Evidence, control: Evidence, resamples: int, seed: int, statistic: Statistic = row_gaps
) -> dict[str, Estimate]:
    """How much further each concept stands out than under control masks, by concept and `mean`; paired by text.

    Raises:
        DataError: the two were not measured on the same texts, gold states and concepts.
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
