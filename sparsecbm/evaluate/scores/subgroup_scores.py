"""Accuracy of the label and of each concept within subgroups of the texts."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from pydantic import Field

from sparsecbm.base.form import Form
from sparsecbm.base.metrics import Resampled, interval, resample
from sparsecbm.base.numbers import Number
from sparsecbm.base.params import Evaluate
from sparsecbm.evaluate.variables import SplitPredictions, VariablePredictions


class SubgroupAccuracy(Form):
    """Accuracy within one subgroup; the interval is 95 %, by bootstrap over clusters."""

    texts: int = Field(description="texts of the subgroup whose gold state is known")
    accuracy: Number
    accuracy_interval: list[Number]


class SubgroupScores(Form):
    """The scores of one subgroup."""

    texts: int
    label: SubgroupAccuracy
    concepts: dict[str, SubgroupAccuracy] = Field(description="by concept, and `mean` over those with known texts")


def score_subgroups(
    predictions: SplitPredictions, subgroups: Mapping[str, pd.Series], params: Evaluate, seed: int
) -> dict[str, dict[str, SubgroupScores]]:
    """Score each subgroup of a split by itself.

    Args:
        subgroups: column -> the subgroup of each text, in the order of the predictions
        seed: of the resamples

    Returns:
        column -> subgroup -> its scores
    """

    def within(variable: VariablePredictions, rows: np.ndarray) -> Resampled:
        taken = replace(variable, **{k: getattr(variable, k)[rows] for k in ("gold", "probabilities", "clusters")})
        return resample(taken.gold, taken.predicted, len(taken.states), taken.clusters, params.bootstrap, seed)

    def scored(rows: np.ndarray) -> SubgroupScores:
        label = within(predictions.label, rows)
        concepts = {name: within(variable, rows) for name, variable in predictions.concepts.items()}
        known = [drawn for drawn in concepts.values() if drawn.counts.sum()]
        accuracies = {name: _accuracy(drawn) for name, drawn in concepts.items()}
        mean = {"mean": _mean_accuracy(known)} if known else {}
        return SubgroupScores(texts=int(rows.sum()), label=_accuracy(label), concepts=accuracies | mean)

    return {
        column: {value: scored((values == value).to_numpy()) for value in sorted(values.unique())}
        for column, values in subgroups.items()
    }


def _accuracy(drawn: Resampled) -> SubgroupAccuracy:
    texts = int(drawn.counts.sum())
    return SubgroupAccuracy(
        texts=texts,
        accuracy=drawn.value("accuracy") if texts else None,
        accuracy_interval=drawn.interval("accuracy") if texts else [None, None],
    )


def _mean_accuracy(drawn: list[Resampled]) -> SubgroupAccuracy:
    """The mean over concepts. Concepts with equal clusters share their resamples."""
    return SubgroupAccuracy(
        texts=int(sum(each.counts.sum() for each in drawn)),
        accuracy=float(np.mean([each.value("accuracy") for each in drawn])),
        accuracy_interval=interval(np.mean([each.draws["accuracy"] for each in drawn], axis=0)),
    )
