"""How much the mask of a null concept stands out, by the same three measures as for real concepts.

A null concept means nothing (`sparsecbm.pruning.null_concepts`), so what its mask shows, the search alone produces. A
real concept's figure counts as evidence only where it is above those of the null concepts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from sparsecbm.base.errors import DataError
from sparsecbm.base.form import Form
from sparsecbm.base.metrics import MISSING, interval, resampled_means
from sparsecbm.base.numbers import Number
from sparsecbm.evaluate.evidence import Estimate
from sparsecbm.evaluate.pooled import Pooled, pooled_texts
from sparsecbm.evaluate.specificity.probes import fit_probe, sample
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.exclusive_weights import without_exclusive
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masked_copy import with_masks
from sparsecbm.pruning.null_concepts import NullConcept, with_null_states

MEASURES = ("swap", "probe", "ablation")


class NullScores(Form):
    """What the mask of one null concept shows."""

    kind: Literal["permuted", "word"] = Field(description="permuted states of the companion, or a neutral word")
    companion: str = Field(description="the real concept whose texts and updates it shared")
    accuracy: Number = Field(description="under its own mask")
    exclusive: Number = Field(description="share of weights that it keeps and no real concept does")
    swap: Estimate = Field(description="accuracy under its own mask minus the mean under those of real concepts")
    probe: Estimate = Field(description="the same with a new linear probe under every mask")
    ablation: Estimate = Field(description="fall of its accuracy without its exclusive weights")


@dataclass(frozen=True, eq=False)
class NullSpecificity:
    """Scores of null concepts, and the evidence by text behind them.

    Attributes:
        scores: null concept -> its scores
        evidence: measure -> null concept -> [texts], what each text adds to the figure; nan where the state is unknown
        clusters: null concept -> [texts]
    """

    scores: dict[str, NullScores]
    evidence: dict[str, dict[str, np.ndarray]]
    clusters: dict[str, np.ndarray]


def null_specificity(
    beside: ConceptBottleneck,
    nulls: Sequence[NullConcept],
    tables: tuple[pd.DataFrame, pd.DataFrame],
    probe_texts: int = 1000,
    resamples: int = 1000,
    seed: int = 0,
) -> NullSpecificity:
    """Measure the masks of null concepts beside those of real ones.

    Args:
        beside: a model with masks of real and null concepts (`PruneResult.beside`)
        tables: the annotated tables that probes are fitted on and that everything is scored on
        probe_texts: the most texts that the probes are fitted on
        resamples: bootstrap resamples for each interval
        seed: of the sample and the resamples

    Raises:
        ModelError: the model has no masks.
    """
    names = {null.name for null in nulls}
    real = [name for name in beside.concept_set.names if name not in names]
    training, evaluated = (with_null_states(table, nulls) for table in tables)
    pooled, fitted = pooled_texts(beside, evaluated), pooled_texts(beside, sample(training, probe_texts, seed))
    masks = beside.masks
    assert masks is not None
    without = with_masks(beside, without_exclusive(masks, names, real))
    ablated = pooled_texts(without, evaluated, concepts=[null.name for null in nulls])
    evidence: dict[str, dict[str, np.ndarray]] = {measure: {} for measure in MEASURES}
    scores, clusters = {}, {}
    for null in nulls:
        name, columns = null.name, [null.name, *real]
        gold = pooled.gold[name]
        own = _right(gold, _predicted(beside, name, pooled, columns))
        after = _right(gold, _predicted(beside, name, ablated, [name]))
        evidence["swap"][name] = own[:, 0] - own[:, 1:].mean(1)
        evidence["ablation"][name] = own[:, 0] - after[:, 0]
        known = fitted.gold[name] != MISSING
        if not known.any():
            raise DataError(f"no training text of the probes has a state for {name!r}; raise prune.probe_texts")
        probed = [fit_probe(fitted.texts[m][known], fitted.gold[name][known], pooled.texts[m]) for m in columns]
        right = _right(gold, np.stack(probed, axis=1))
        evidence["probe"][name] = right[:, 0] - right[:, 1:].mean(1)
        clusters[name] = pooled.clusters[name]
        figures = {m: _estimate(evidence[m][name], clusters[name], resamples, seed) for m in MEASURES}
        scores[name] = NullScores(
            kind=null.kind,
            companion=null.companion,
            accuracy=np.nanmean(own[:, 0]),
            exclusive=masks.of([name, *real]).exclusive(name).density,
            **figures,
        )
    return NullSpecificity(scores, evidence, clusters)


def null_excess(
    chosen: NullSpecificity, control: NullSpecificity, resamples: int = 1000, seed: int = 0
) -> dict[str, dict[str, Estimate]]:
    """How much more the masks of null concepts show than matched random masks: measure -> null concept -> estimate.

    Paired by text.

    Raises:
        DataError: the two were measured on other concepts or numbers of texts.
    """
    result: dict[str, dict[str, Estimate]] = {}
    for measure, by_name in chosen.evidence.items():
        for name, values in by_name.items():
            other = control.evidence[measure].get(name)
            if other is None or len(other) != len(values):
                raise DataError(f"the null concept {name!r} was measured on different texts; measure both on one table")
            estimate = _estimate(values - other, chosen.clusters[name], resamples, seed)
            result.setdefault(measure, {})[name] = estimate
    return result


def rank_p_values(real: Mapping[str, float], nulls: Sequence[float]) -> dict[str, float]:
    """For each real concept, how often a concept without meaning does as well: (1 + nulls as high) / (1 + nulls).

    Args:
        real: concept -> figure
        nulls: the same figure of each null concept
    """
    return {name: (1 + sum(null >= value for null in nulls)) / (1 + len(nulls)) for name, value in real.items()}


def _predicted(model: ConceptBottleneck, name: str, pooled: Pooled, under: Sequence[str]) -> np.ndarray:
    """What the head of a concept predicts from texts pooled under some masks, [texts, masks]."""
    with inference_mode(model):
        texts = [torch.from_numpy(pooled.texts[mask]).to(model.device) for mask in under]
        logits = torch.stack([model.concept_heads({name: each})[name] for each in texts], dim=1)
    predicted: np.ndarray = logits.argmax(-1).cpu().numpy()
    return predicted


def _right(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """1 where a prediction is right, nan where the state is unknown: [texts, masks]."""
    return np.where(gold[:, None] == MISSING, np.nan, predicted == gold[:, None])


def _estimate(values: np.ndarray, clusters: np.ndarray, resamples: int, seed: int) -> Estimate:
    draws = resampled_means(values[:, None], clusters, resamples, seed)[:, 0]
    return Estimate(value=np.nanmean(values), interval=interval(draws))
