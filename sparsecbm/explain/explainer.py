"""Texts in, explanations at all levels out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.explain.ablation import Ablation, ablate_units
from sparsecbm.explain.attribution import Attribution, AttributionOptions, LabelAttribution, attribute, attribute_label
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
from sparsecbm.explain.variants import KINDS
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import model_checksum
from sparsecbm.model.masked import first_masked_block
from sparsecbm.model.prediction import Prediction, softmax

TOP = 3  # units of a kind that an explanation names
DEFAULTS = AttributionOptions()


@dataclass(frozen=True)
class TextSource:
    """What is known of a text besides its words: where it stands, and which class and states people gave it."""

    id: str | None = None
    split: str | None = None
    label: str | None = None
    concepts: Mapping[str, str | None] = field(default_factory=dict)


def explain(
    model: ConceptBottleneck,
    texts: Sequence[str],
    concepts: Sequence[str] | None = None,
    states: Mapping[str, str] | None = None,
    method: str = "integrated_gradients",
    options: AttributionOptions = DEFAULTS,
    units: Sequence[str] = KINDS,
    rows: Sequence[TextSource] | None = None,
    folder: str | None = None,
    data: str | None = None,
) -> list[Explanation]:
    """Explain the label of each text: by concepts, their subnetworks and words. The model is left as it was.

    Args:
        concepts: whose words and subnetworks are looked at; by default all. The others still contribute to the label
        states: concept -> the state to explain in all texts; by default the one that is read in each
        method: of the words' scores, a key of `attribution.METHODS`
        units: kinds of units to ablate (block | head | ffn) in the blocks under masks; none if empty
        rows: of each text
        folder: sha256 of the model folder's `checksums.json`
        data: sha256 of the tables that the texts come from

    Raises:
        ConfigError: unknown concept, state, method or kind of unit (with the choices), or a state of a concept that
            is not among `concepts`.
        ModelError: the model has no concepts or no training means, or its tokenizer does not say where tokens stand.
    """
    if isinstance(texts, str):
        raise TypeError("explain takes a list of texts; wrap a single text: explain(model, [text])")
    asked = model.concept_set.names if concepts is None else tuple(dict.fromkeys(concepts))
    for name in states or {}:
        if name in model.concept_set.names and name not in asked:
            raise ConfigError(f"a state of {name!r} is given, but not asked for; asked for: {', '.join(asked)}")
    rows = [TextSource()] * len(texts) if rows is None else rows
    words = attribute(model, texts, asked, states, method, options)
    along = attribute_label(model, texts, method=method, options=options)
    subnetworks = _subnetworks(model, texts, {name: (states or {}).get(name) for name in asked}, units)
    read = model.logits(texts)
    soft = contributions_from_logits(model, read)
    hard = [None] * len(texts) if model.hard_head is None else contributions_from_logits(model, read, "hard_head")
    origin = Origin(model_checksum(model), folder, data, model.masked, method, options)
    said = model.predictions(texts, read)
    return [
        _explanation(_Read(said[i], rows[i], soft[i], hard[i]), along[i], words[i], subnetworks[i], origin)
        for i in range(len(texts))
    ]


@dataclass(frozen=True)
class _Read:
    """What a model reads in one text, and what is known of it."""

    said: Prediction
    row: TextSource
    soft: Contributions
    hard: Contributions | None


def _explanation(
    read: _Read,
    along: LabelAttribution,
    words: Mapping[str, Attribution],
    subnetworks: Mapping[str, Subnetwork],
    origin: Origin,
) -> Explanation:
    total = along.total
    return Explanation(
        text=total.text,
        truncated=total.truncated,
        id=read.row.id,
        split=read.row.split,
        words=tuple(Word(word, *span) for word, span in zip(total.words, total.spans, strict=True)),
        special=tuple(token for token, _ in total.special),
        label=_label(read, total),
        concepts={name: _concept(read, name, words.get(name), subnetworks.get(name)) for name in read.said.concepts},
        origin=origin,
    )


def _label(read: _Read, total: Attribution) -> LabelExplanation:
    waterfall, bare = read.soft.waterfall(read.said.label.state), None
    if read.hard is not None:
        probabilities = softmax(np.array(list(read.hard.end.values()))).tolist()
        bare = HardLabel(read.hard.label, dict(zip(read.hard.end, probabilities, strict=True)))
    return LabelExplanation(
        name=total.concept,
        state=read.said.label.state,
        probabilities=read.said.label.probabilities,
        gold=read.row.label,
        start=waterfall.start,
        end=waterfall.end,
        hard=bare,
        words=_scores(total),
    )


def _concept(read: _Read, name: str, words: Attribution | None, subnetwork: Subnetwork | None) -> ConceptExplanation:
    reading, label = read.said.concepts[name], read.said.label.state
    return ConceptExplanation(
        state=reading.state,
        probabilities=reading.probabilities,
        gold=read.row.concepts.get(name),
        explained=reading.state if words is None else words.state,
        contributions=read.soft.steps[name],
        contribution=read.soft.steps[name][label],
        hard_contribution=None if read.hard is None else read.hard.steps[name][label],
        words=None if words is None else _scores(words),
        subnetwork=subnetwork,
    )


def _scores(found: Attribution) -> WordScores:
    return WordScores(found.scores, tuple(score for _, score in found.special), found.change, found.gap, found.steps)


def _subnetworks(
    model: ConceptBottleneck, texts: Sequence[str], states: Mapping[str, str | None], units: Sequence[str]
) -> list[dict[str, Subnetwork]]:
    """For each text: concept -> its subnetwork; without units where none are asked for, or none can be ablated."""
    density = dict.fromkeys(states) if model.masks is None else model.density()
    note, found = None, [{}] * len(texts)
    first = first_masked_block(model.backbone) if model.masked else 0  # below lies what all concepts share
    try:
        found = ablate_units(model, texts, states, units, first=first) if units else found
    except ModelError as error:
        note = str(error)
    return [{name: Subnetwork(density[name], _largest(of.get(name), units), note) for name in states} for of in found]


def _largest(found: Ablation | None, units: Sequence[str]) -> dict[str, tuple[AblatedUnit, ...]]:
    if found is None:
        return {}
    return {
        kind: tuple(
            AblatedUnit(of.unit.block, of.unit.head, of.effect, of.read, of.probability)
            for of in found.largest(kind, TOP)
        )
        for kind in units
    }
