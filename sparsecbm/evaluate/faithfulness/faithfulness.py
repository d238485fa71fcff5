"""Are explanations true of the model? All measures, by method and concept.

An item is a text and a concept whose predicted state is not `unknown`. Every score is compared with that of random
attributions, and `random` is a method like the others. docs/metrics.md explains each measure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
import pandas as pd
from pydantic import Field

from sparsecbm.base.form import Form
from sparsecbm.base.params.faithfulness import Faithfulness
from sparsecbm.base.progress import progress
from sparsecbm.evaluate.evidence import Estimate
from sparsecbm.evaluate.faithfulness.aopc import Item, find_items, measure_aopc, random_orders, rank_words
from sparsecbm.evaluate.faithfulness.edit_agreement import measure_edit_agreement, single_span_edits
from sparsecbm.evaluate.faithfulness.edited_words import EditedWordScores
from sparsecbm.evaluate.faithfulness.infidelity import (
    measure_infidelity,
    measure_sensitivity,
    subject_of_predictions,
)
from sparsecbm.evaluate.faithfulness.item_groups import ItemGroups, mean_by_concept
from sparsecbm.evaluate.faithfulness.perturbations import Perturber
from sparsecbm.evaluate.faithfulness.randomisation import Comparison, compare_with_random
from sparsecbm.evaluate.faithfulness.rank_agreement import kendall_tau
from sparsecbm.evaluate.faithfulness.sanity import sanity
from sparsecbm.evaluate.variables import clusters_of
from sparsecbm.explain.attribution import Attribution, attribute
from sparsecbm.explain.explanation import WordScores
from sparsecbm.explain.methods import METHODS, AttributionOptions
from sparsecbm.explain.subject import Subject, prepared
from sparsecbm.explain.words import TokenizedText, tokenize_words
from sparsecbm.model.cbm import ConceptBottleneck

REFERENCE = "leave_one_out"
QUICK = 4  # gradients along a path for integrated gradients that are computed many times over
Attributions = Sequence[Mapping[str, Attribution | WordScores]]  # of each text, by concept; only `scores` are used


@dataclass(frozen=True)
class FaithfulnessSettings:
    """How explanations are measured.

    Attributes:
        params: the block `faithfulness` of `params.yaml`
        attribution: options of the attributions. Attributions that are computed many times over (sensitivity,
            randomised models) take `QUICK` gradients each instead
        resamples: bootstrap resamples for each interval, and resamples of the randomisation test
        seed: of everything that is drawn
    """

    params: Faithfulness
    attribution: AttributionOptions
    resamples: int = 1000
    seed: int = 0


class MethodScores(Form):
    """One method; the innermost keys are concepts, those without an item left out, and `mean` over them."""

    comprehensiveness: dict[str, dict[str, Comparison]] = Field(description="by operator; more is better")
    sufficiency: dict[str, dict[str, Comparison]] = Field(description="by operator; less is better")
    kendall_tau: dict[str, Estimate] = Field(description="order of words against that of leave-one-out")
    infidelity: dict[str, Estimate] = Field(description="squared logits, scores scaled to fit; less is better")
    max_sensitivity: dict[str, Estimate] = Field(description="less is steadier; of methods by gradients only")
    edited_words: dict[str, EditedWordScores] = Field(description="by concept, and `all`; where there are pairs")


class FaithfulnessScores(Form):
    """All faithfulness scores of one model on one table."""

    texts: int
    items: int = Field(description="texts and concepts whose predicted state is not `unknown`")
    edits: int
    operators: list[str]
    shares: list[float]
    random_draws: int
    methods: dict[str, MethodScores]
    sanity: dict[str, dict[str, dict[str, Estimate]]] = Field(
        description="method -> what is randomised -> concept -> rank correlation with the original attributions"
    )


def measure_faithfulness(
    model: ConceptBottleneck,
    frame: pd.DataFrame,
    settings: FaithfulnessSettings,
    explained: Mapping[str, Attributions] | None = None,
    edited: pd.DataFrame | None = None,
) -> FaithfulnessScores:
    """Measure explanations of predicted states on the first `faithfulness.texts` rows of an annotated table.

    Args:
        explained: method -> attributions of the table's rows for predicted states, which are not computed again
        edited: the table with counterfactual pairs, such as the whole split; by default the same table

    Raises:
        ModelError: the model has no concepts.
    """
    params, options, resamples, seed = settings.params, settings.attribution, settings.resamples, settings.seed
    pairs = frame if edited is None else edited
    frame = frame.iloc[: params.texts]
    texts = frame["text"].tolist()
    attributions = {method: rows[: len(texts)] for method, rows in (explained or {}).items()}
    for method in (*params.methods, REFERENCE):
        if method not in attributions:
            attributions[method] = attribute(model, texts, method=method, options=options)
    quick = replace(options, steps=QUICK, max_steps=QUICK)
    with prepared(model) as ready:
        tokenized, logits = tokenize_words(ready.tokenizer, texts, ready.settings.max_length), ready.logits(texts)
        items = find_items(ready, tokenized, logits)
        clusters = {name: clusters_of(frame, name) for name in ready.concept_set.names}
        groups = _groups_of(items, clusters, resamples, seed)
        sample = _Sample(tokenized, items, groups)
        perturber = Perturber(ready.tokenizer, tokenized, params.operators, seed)
        falls = _compare_falls(ready, perturber, sample, attributions, params)
        subject = subject_of_predictions(ready, tokenized, logits, options)
        infidelity = _infidelity(subject, sample, attributions, params)
        sensitivity = {method: _sensitivity(subject, sample, method, quick, params) for method in params.methods}
    edits = single_span_edits(pairs, model.concept_set).sample(params.edits, seed)
    agreement = measure_edit_agreement(model, edits, params.methods, options, resamples, seed)
    sanity_items = [item for item in items if item.text_index < params.sanity_texts]
    return FaithfulnessScores(
        texts=len(texts),
        items=len(items),
        edits=len(edits),
        operators=list(perturber.operators),
        shares=params.shares,
        random_draws=params.random_draws,
        methods={
            method: MethodScores(
                comprehensiveness=falls[method]["comprehensiveness"],
                sufficiency=falls[method]["sufficiency"],
                kendall_tau=sample.tau(attributions[method], attributions[REFERENCE]) if method != REFERENCE else {},
                infidelity=infidelity[method],
                max_sensitivity=sensitivity[method],
                edited_words=agreement.get(method, {}),
            )
            for method in params.methods
        },
        sanity=sanity(
            model,
            texts[: params.sanity_texts],
            sanity_items,
            _groups_of(sanity_items, clusters, resamples, seed),
            params.sanity_methods,
            quick,
        ),
    )


@dataclass(frozen=True, eq=False)
class _Sample:
    """The texts and items that are measured."""

    texts: list[TokenizedText]
    items: list[Item]
    groups: ItemGroups

    def means(self, values: Sequence[float]) -> dict[str, Estimate]:
        """Means by concept, from a value for each item."""
        return mean_by_concept(np.array(values, dtype=float), self.groups)

    def tau(self, first: Attributions, second: Attributions) -> dict[str, Estimate]:
        """Whether two methods rank the words of each item alike."""
        keys = [(item.text_index, item.concept) for item in self.items]
        return self.means([kendall_tau(first[i][name].scores, second[i][name].scores) for i, name in keys])

    def seed_of(self, item: Item) -> int:
        """A seed for the item. It is the same for every method, so all methods face the same random draws."""
        return crc32(f"{self.groups.seed} {item.concept} {self.texts[item.text_index].text}".encode())


def _groups_of(items: list[Item], clusters: Mapping[str, np.ndarray], resamples: int, seed: int) -> ItemGroups:
    """The groups of items.

    Args:
        clusters: concept -> [texts]
    """
    item_clusters = [clusters[item.concept][item.text_index] for item in items]
    return ItemGroups([item.concept for item in items], item_clusters, resamples, seed)


def _compare_falls(
    model: ConceptBottleneck,
    perturber: Perturber,
    sample: _Sample,
    attributions: Mapping[str, Attributions],
    params: Faithfulness,
) -> dict[str, dict[str, dict[str, dict[str, Comparison]]]]:
    """Method -> comprehensiveness | sufficiency -> operator -> concept -> comparison with random orders."""
    at_random = [random_orders(text, params.random_draws, sample.groups.seed) for text in sample.texts]
    orders = [
        [rank_words(attributions[method][item.text_index][item.concept].scores) for method in params.methods]
        + at_random[item.text_index]
        for item in sample.items
    ]
    comparisons: dict = {method: {"comprehensiveness": {}, "sufficiency": {}} for method in params.methods}
    for operator in perturber.operators if sample.items else ():
        falls = measure_aopc(model, perturber, sample.items, orders, operator, params.shares)
        for measure, more_is_better in (("comprehensiveness", True), ("sufficiency", False)):
            values = getattr(falls, measure)
            for column, method in enumerate(params.methods):
                comparisons[method][measure][operator] = compare_with_random(
                    values[:, column], values[:, len(params.methods) :], more_is_better, sample.groups
                )
    return comparisons


def _infidelity(
    subject: Subject, sample: _Sample, attributions: Mapping[str, Attributions], params: Faithfulness
) -> dict[str, dict[str, Estimate]]:
    values: dict[str, list[float]] = {method: [] for method in params.methods}
    for item in progress(sample.items, "infidelity", "item"):
        scores = {method: attributions[method][item.text_index][item.concept].scores for method in params.methods}
        by_method = measure_infidelity(subject, item, scores, params.infidelity_samples, sample.seed_of(item))
        for method, value in by_method.items():
            values[method].append(value)
    return {method: sample.means(item_values) for method, item_values in values.items()}


def _sensitivity(
    subject: Subject, sample: _Sample, method: str, options: AttributionOptions, params: Faithfulness
) -> dict[str, Estimate]:
    if not METHODS[method].by_gradients:
        return {}
    values = [
        measure_sensitivity(subject, item, method, options, params.sensitivity_samples, sample.seed_of(item))
        if item.text_index < params.sensitivity_texts
        else float("nan")
        for item in progress(sample.items, f"sensitivity of {method}", "item")
    ]
    return sample.means(values)
