"""Are explanations true of the model? All measures, by method and concept, over what is read as other than `unknown`.

An item is a text and a concept that the model reads to say something of. Random attributions stand beside everything,
and `random` is a method like the others. docs/metrics.md explains each measure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
import pandas as pd
from pydantic import Field

from sparsecbm.base.params.faithfulness import Faithfulness
from sparsecbm.evaluate.evidence import Estimate, Form
from sparsecbm.evaluate.faithfulness.aopc import Item, items_of, measure_aopc, order_of, random_orders
from sparsecbm.evaluate.faithfulness.edit_agreement import measure_edit_agreement, single_span_edits
from sparsecbm.evaluate.faithfulness.edited_words import EditedWordScores
from sparsecbm.evaluate.faithfulness.infidelity import (
    measure_infidelity,
    measure_sensitivity,
    subject_of_predictions,
)
from sparsecbm.evaluate.faithfulness.perturbations import Perturber
from sparsecbm.evaluate.faithfulness.randomisation import Comparison, compare_with_random
from sparsecbm.evaluate.faithfulness.rank_agreement import kendall_tau, mean_by_concept
from sparsecbm.evaluate.faithfulness.sanity import sanity
from sparsecbm.evaluate.variables import clusters_of
from sparsecbm.explain.attribution import Attribution, attribute
from sparsecbm.explain.explanation import WordScores
from sparsecbm.explain.methods import METHODS, AttributionOptions
from sparsecbm.explain.subject import Subject, prepared
from sparsecbm.explain.words import TokenizedText, tokenize_words
from sparsecbm.model.cbm import ConceptBottleneck, Logits

REFERENCE = "leave_one_out"
QUICK = 4  # gradients along a path where a sketch of integrated gradients will do
Attributions = Sequence[Mapping[str, Attribution | WordScores]]  # of each text, by concept; their `scores` count


class MethodScores(Form):
    """One method; the innermost keys are concepts, those without an item left out, and `mean` over them."""

    comprehensiveness: dict[str, dict[str, Comparison]] = Field(description="by operator; more is better")
    sufficiency: dict[str, dict[str, Comparison]] = Field(description="by operator; less is better")
    kendall_tau: dict[str, Estimate] = Field(description="order of words against that of leave-one-out")
    infidelity: dict[str, Estimate] = Field(description="squared logits, scores scaled to fit; less is better")
    max_sensitivity: dict[str, Estimate] = Field(description="less is steadier; of methods by gradients only")
    edited_words: dict[str, EditedWordScores] = Field(description="by concept, and `all`; where there are pairs")


class FaithfulnessScores(Form):
    """All that is measured on one model and table."""

    texts: int
    items: int = Field(description="texts and concepts that are read as other than `unknown`")
    edits: int
    operators: list[str]
    shares: list[float]
    random_draws: int
    methods: dict[str, MethodScores]
    sanity: dict[str, dict[str, dict[str, Estimate]]] = Field(
        description="method -> what is randomised -> concept -> correlation of ranks with the original attributions"
    )


def measure_faithfulness(
    model: ConceptBottleneck,
    frame: pd.DataFrame,
    params: Faithfulness,
    options: AttributionOptions,
    resamples: int = 1000,
    seed: int = 0,
    explained: Mapping[str, Attributions] | None = None,
    edited: pd.DataFrame | None = None,
) -> FaithfulnessScores:
    """Measure explanations of predicted states on the first `params.texts` rows of an annotated table.

    Args:
        options: of the attributions; where they are computed many times over (sensitivity, randomised models), with
            `QUICK` gradients each
        resamples: bootstrap resamples behind each interval, and those of the randomisation test
        explained: method -> attributions of the rows of the table for predicted states, which are not computed again
        edited: where counterfactual pairs are looked for, such as the whole split; by default the table

    Raises:
        ModelError: the model has no concepts.
    """
    pairs = frame if edited is None else edited
    frame = frame.iloc[: params.texts]
    texts = frame["text"].tolist()
    found = {method: of[: len(texts)] for method, of in (explained or {}).items()}
    for method in (*params.methods, REFERENCE):
        if method not in found:
            found[method] = attribute(model, texts, method=method, options=options)
    quick = replace(options, steps=QUICK, max_steps=QUICK)
    with prepared(model) as ready:
        worded, logits = tokenize_words(ready.tokenizer, texts, ready.settings.max_length), ready.logits(texts)
        items = items_of(ready, worded, logits)
        clusters = {name: clusters_of(frame, name) for name in ready.concept_set.names}
        sample = _Sample(worded, logits, items, [clusters[i.concept][i.number] for i in items], resamples, seed)
        perturber = Perturber(ready.tokenizer, worded, params.operators, seed)
        falls = _falls(ready, perturber, sample, found, params)
        subject = subject_of_predictions(ready, worded, logits, options)
        infidelity = _infidelity(subject, sample, found, params)
        moved = {method: _sensitivity(subject, sample, method, quick, params) for method in params.methods}
    edits = single_span_edits(pairs, model.concept_set).sample(params.edits, seed)
    agreement = measure_edit_agreement(model, edits, params.methods, options, resamples, seed)
    few = [place for place, item in enumerate(items) if item.number < params.sanity_texts]
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
                kendall_tau=sample.tau(found[method], found[REFERENCE]) if method != REFERENCE else {},
                infidelity=infidelity[method],
                max_sensitivity=moved[method],
                edited_words=agreement.get(method, {}),
            )
            for method in params.methods
        },
        sanity=sanity(
            model,
            texts[: params.sanity_texts],
            [items[i] for i in few],
            [sample.clusters[i] for i in few],
            params.sanity_methods,
            quick,
            resamples,
            seed,
        ),
    )


@dataclass(frozen=True, eq=False)
class _Sample:
    """What is measured on.

    Attributes:
        clusters: of each item
    """

    texts: list[TokenizedText]
    logits: Logits
    items: list[Item]
    clusters: list[str]
    resamples: int
    seed: int

    @property
    def concepts(self) -> list[str]:
        """Of each item."""
        return [item.concept for item in self.items]

    def means(self, values: Sequence[float]) -> dict[str, Estimate]:
        """By concept, from a value of each item."""
        return mean_by_concept(np.array(values, dtype=float), self.concepts, self.clusters, self.resamples, self.seed)

    def tau(self, first: Attributions, second: Attributions) -> dict[str, Estimate]:
        """How alike two methods rank the words of each item."""
        places = [(item.number, item.concept) for item in self.items]
        return self.means([kendall_tau(first[i][name].scores, second[i][name].scores) for i, name in places])

    def seed_of(self, item: Item) -> int:
        """The same for every method, so that all are judged by the same chance."""
        return crc32(f"{self.seed} {item.concept} {self.texts[item.number].text}".encode())


def _falls(
    model: ConceptBottleneck,
    perturber: Perturber,
    sample: _Sample,
    found: Mapping[str, Attributions],
    params: Faithfulness,
) -> dict[str, dict[str, dict[str, dict[str, Comparison]]]]:
    """Method -> comprehensiveness | sufficiency -> operator -> concept -> what it is against random orders."""
    at_random = [random_orders(text, params.random_draws, sample.seed) for text in sample.texts]
    orders = [
        [order_of(found[method][item.number][item.concept].scores) for method in params.methods]
        + at_random[item.number]
        for item in sample.items
    ]
    measured: dict = {m: {"comprehensiveness": {}, "sufficiency": {}} for m in params.methods}
    for operator in perturber.operators if sample.items else ():
        falls = measure_aopc(model, perturber, sample.items, orders, operator, params.shares)
        for measure, more_is_better in (("comprehensiveness", True), ("sufficiency", False)):
            values = getattr(falls, measure)
            for place, method in enumerate(params.methods):
                measured[method][measure][operator] = compare_with_random(
                    values[:, place],
                    values[:, len(params.methods) :],
                    more_is_better,
                    sample.concepts,
                    sample.clusters,
                    sample.resamples,
                    sample.seed,
                )
    return measured


def _infidelity(
    subject: Subject, sample: _Sample, found: Mapping[str, Attributions], params: Faithfulness
) -> dict[str, dict[str, Estimate]]:
    values: dict[str, list[float]] = {method: [] for method in params.methods}
    for item in sample.items:
        scores = {method: found[method][item.number][item.concept].scores for method in params.methods}
        measured = measure_infidelity(
            subject, item.number, item.concept, scores, params.infidelity_samples, sample.seed_of(item)
        )
        for method, value in measured.items():
            values[method].append(value)
    return {method: sample.means(of_method) for method, of_method in values.items()}


def _sensitivity(
    subject: Subject, sample: _Sample, method: str, options: AttributionOptions, params: Faithfulness
) -> dict[str, Estimate]:
    if not METHODS[method].by_gradients:
        return {}
    values = [
        measure_sensitivity(
            subject,
            sample.logits,
            item.number,
            item.concept,
            method,
            options,
            params.sensitivity_samples,
            sample.seed_of(item),
        )
        if item.number < params.sensitivity_texts
        else float("nan")
        for item in sample.items
    ]
    return sample.means(values)
