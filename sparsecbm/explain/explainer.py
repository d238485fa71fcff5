"""Explanations of texts at all levels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.explain.ablation import Ablation, ablate_units
from sparsecbm.explain.attribution import Attribution, LabelAttribution, attribute_both
from sparsecbm.explain.contributions import Contributions, contributions_from_logits
from sparsecbm.explain.explanation import (
    AblatedUnit,
    ConceptExplanation,
    Explanation,
    HardLabel,
    LabelExplanation,
    Origin,
    Subnetwork,
    Word,
    WordScores,
)
from sparsecbm.explain.methods import DEFAULT_METHOD, DEFAULT_OPTIONS, AttributionOptions
from sparsecbm.explain.sufficient_parts import SufficientParts, find_sufficient_parts
from sparsecbm.explain.variants import KINDS
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import model_checksum
from sparsecbm.model.execution import existing_copy
from sparsecbm.model.masked import first_masked_block
from sparsecbm.model.prediction import Prediction, softmax

TOP = 3  # units of each kind that an explanation names
SUFFICIENT = "sufficient"
WITH_SUFFICIENT = (*KINDS, SUFFICIENT)


@dataclass(frozen=True)
class TextSource:
    """What is known of a text besides its words: its row and split in a table, and its annotated class and states."""

    id: str | None = None
    split: str | None = None
    label: str | None = None
    concepts: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ExplainOptions:
    """What to explain, and how.

    Attributes:
        concepts: concepts whose words and subnetworks are explained, None for all; the others still contribute to the
            label
        states: concept -> the state to explain in all texts; by default the predicted state of each text
        method: attribution method of the word scores, a key of `METHODS`
        attribution: options of the method
        units: kinds of units to ablate (block | head | ffn) in the blocks with masks; and `sufficient`, which is no
            kind: the smallest set of heads and neurons that keeps the predicted state is searched, some seconds a text
    """

    concepts: Sequence[str] | None = None
    states: Mapping[str, str] = field(default_factory=dict)
    method: str = DEFAULT_METHOD
    attribution: AttributionOptions = DEFAULT_OPTIONS
    units: Sequence[str] = KINDS


DEFAULTS = ExplainOptions()


def explain(
    model: ConceptBottleneck,
    texts: Sequence[str],
    options: ExplainOptions = DEFAULTS,
    sources: Sequence[TextSource] | None = None,
    folder: str | None = None,
    data: str | None = None,
) -> list[Explanation]:
    """Explain the label of each text by concepts, their subnetworks and words. The model is not changed.

    Args:
        sources: of each text
        folder: sha256 of the model folder's `checksums.json`
        data: sha256 of the tables that the texts come from

    Raises:
        ConfigError: unknown concept, state, method or kind of unit (names the choices), or a state of a concept that
            is not among the concepts to explain.
        ModelError: the model has no concepts or no training means, its tokenizer does not give the positions of tokens
            in the text, or a set of units is to be searched in a model without masks or without known units.
    """
    if isinstance(texts, str):
        raise TypeError("explain takes a list of texts; wrap a single text: explain(model, [text])")
    names = model.concept_set.names if options.concepts is None else tuple(dict.fromkeys(options.concepts))
    for name in options.states:
        if name in model.concept_set.names and name not in names:
            raise ConfigError(f"a state of {name!r} is given, but only {', '.join(names)} will be explained")
    for kind in options.units:
        if kind not in WITH_SUFFICIENT:
            raise ConfigError(unknown("kind of unit", kind, WITH_SUFFICIENT))
    sufficient: Sequence[Mapping[str, SufficientParts]] = [{}] * len(texts)
    if SUFFICIENT in options.units:
        sufficient = find_sufficient_parts(model, texts, names, options.attribution.seed)
    words, label_words = attribute_both(model, texts, names, options.states, options.method, options.attribution)
    kinds = [kind for kind in options.units if kind != SUFFICIENT]
    subnetworks = _subnetworks(model, texts, {name: options.states.get(name) for name in names}, kinds)
    logits = (existing_copy(model) or model).logits(texts)
    soft = contributions_from_logits(model, logits)
    hard = [None] * len(texts) if model.hard_head is None else contributions_from_logits(model, logits, "hard")
    origin = Origin(model_checksum(model), folder, data, model.masked, options.method, options.attribution)
    predictions = model.predictions(texts, logits)
    sources = [TextSource()] * len(texts) if sources is None else sources
    return [
        _explanation(
            _TextResults(predictions[i], sources[i], soft[i], hard[i]),
            label_words[i],
            words[i],
            {name: replace(each, sufficient=sufficient[i].get(name)) for name, each in subnetworks[i].items()},
            origin,
        )
        for i in range(len(texts))
    ]


@dataclass(frozen=True)
class _TextResults:
    """The prediction for one text, its source, and contributions through both label heads."""

    prediction: Prediction
    source: TextSource
    soft: Contributions
    hard: Contributions | None


def _explanation(
    results: _TextResults,
    label_words: LabelAttribution,
    words: Mapping[str, Attribution],
    subnetworks: Mapping[str, Subnetwork],
    origin: Origin,
) -> Explanation:
    total = label_words.total
    return Explanation(
        text=total.text,
        truncated=total.truncated,
        id=results.source.id,
        split=results.source.split,
        words=tuple(Word(word, *span) for word, span in zip(total.words, total.spans, strict=True)),
        special=tuple(token for token, _ in total.special),
        label=_label(results, total),
        concepts={
            name: _concept(results, name, words.get(name), subnetworks.get(name))
            for name in results.prediction.concepts
        },
        origin=origin,
    )


def _label(results: _TextResults, total: Attribution) -> LabelExplanation:
    label, hard_label = results.prediction.label, None
    waterfall = results.soft.waterfall(label.state)
    if results.hard is not None:
        probabilities = softmax(np.array(list(results.hard.end.values()))).tolist()
        hard_label = HardLabel(results.hard.label, dict(zip(results.hard.end, probabilities, strict=True)))
    return LabelExplanation(
        name=total.concept,
        state=label.state,
        probabilities=label.probabilities,
        gold=results.source.label,
        start=waterfall.start,
        end=waterfall.end,
        hard=hard_label,
        words=_scores(total),
    )


def _concept(
    results: _TextResults, name: str, words: Attribution | None, subnetwork: Subnetwork | None
) -> ConceptExplanation:
    prediction, label = results.prediction.concepts[name], results.prediction.label.state
    return ConceptExplanation(
        state=prediction.state,
        probabilities=prediction.probabilities,
        gold=results.source.concepts.get(name),
        explained=prediction.state if words is None else words.state,
        contributions=results.soft.steps[name],
        contribution=results.soft.steps[name][label],
        hard_contribution=None if results.hard is None else results.hard.steps[name][label],
        words=None if words is None else _scores(words),
        subnetwork=subnetwork,
    )


def _scores(attribution: Attribution) -> WordScores:
    special = tuple(score for _, score in attribution.special)
    return WordScores(attribution.scores, special, attribution.change, attribution.gap, attribution.steps)


def _subnetworks(
    model: ConceptBottleneck, texts: Sequence[str], states: Mapping[str, str | None], units: Sequence[str]
) -> list[dict[str, Subnetwork]]:
    """For each text: concept -> its subnetwork; without units if no kinds are given, or if none can be ablated."""
    density = dict.fromkeys(states) if model.masks is None else model.density()
    first = first_masked_block(model.backbone) if model.masked else 0  # all concepts share the blocks below
    note: str | None = None
    ablations: list[dict[str, Ablation]] = [{}] * len(texts)
    try:
        ablations = ablate_units(model, texts, states, units, first=first) if units else ablations
    except ModelError as error:
        note = str(error)
    return [
        {name: Subnetwork(density[name], _largest(by_concept.get(name), units), note) for name in states}
        for by_concept in ablations
    ]


def _largest(ablation: Ablation | None, units: Sequence[str]) -> dict[str, tuple[AblatedUnit, ...]]:
    if ablation is None:
        return {}
    return {
        kind: tuple(
            AblatedUnit(effect.unit.block, effect.unit.head, effect.effect, effect.read, effect.probability)
            for effect in ablation.largest(kind, TOP)
        )
        for kind in units
    }
