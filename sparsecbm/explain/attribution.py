"""Which words led a model to its prediction of a concept or of the label: one interface over all methods.

For state s of concept k, the explained value is the logit of s minus the mean logit of the concept's states. It is a
logit because a probability around 0 or 1 hardly changes with the words. The mean is subtracted because softmax ignores
a shift common to all states, so the predictions do not determine a plain logit.

For class y of the label, the explained value is the sum over concepts of V_k[y] . c_k, with V centred over the classes
for the same reason. Attributions are linear in it: sum_k sum_s V_k[y,s] * IG(c_k[s]).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.explain.methods import DEFAULT_METHOD, DEFAULT_OPTIONS, METHODS, AttributionOptions
from sparsecbm.explain.subject import ExplainedValue, SharedPasses, Subject, prepared
from sparsecbm.explain.words import tokenize_words
from sparsecbm.model.cbm import ConceptBottleneck, Logits

States = str | Sequence[str]  # one for all texts, or one for each


@dataclass(frozen=True)
class Attribution:
    """The effect of each word of a text on one value that a model computes.

    Attributes:
        text: the original text; `text[start:end]` of each span is its word
        words, spans, scores: one for each word, in order; a word with a score above 0 speaks for the state
        special: tokens that belong to no word (special tokens, space), with their scores
        change: the value at the text minus the value at the baseline
        gap: completeness gap, the sum of all scores minus `change`; about 0 for complete methods only
        method, baseline: how the scores were computed
        concept, state: what the value belongs to
        steps: number of gradients taken; 0 for methods without gradients
        truncated: whether the model received only the beginning of the text
    """

    text: str
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    scores: tuple[float, ...]
    special: tuple[tuple[str, float], ...]
    change: float
    gap: float
    method: str
    baseline: str
    concept: str
    state: str
    steps: int
    truncated: bool


@dataclass(frozen=True)
class LabelAttribution:
    """The effect of each word of a text on its label, through the bottleneck.

    Attributes:
        total: its concept is the name of the label, its state the class
        parts: concept -> the part that goes through it; the parts add up to the total, and their state is the class
    """

    total: Attribution
    parts: dict[str, Attribution]


def attribute(
    model: ConceptBottleneck,
    texts: Sequence[str],
    concepts: Sequence[str] | None = None,
    states: Mapping[str, States] | None = None,
    method: str = DEFAULT_METHOD,
    options: AttributionOptions = DEFAULT_OPTIONS,
) -> list[dict[str, Attribution]]:
    """Attribute predictions of concepts to the words of texts, each concept through its own subnetwork.

    A model without masks is explained through its dense backbone. The model is not changed.

    Args:
        concepts: names; by default all
        states: concept -> the state to explain, one for all texts or one for each; by default the predicted state
        method: a key of `METHODS`

    Returns:
        for each text: concept -> attribution

    Raises:
        ConfigError: unknown concept, state or method (names the choices), no concept, or a wrong number of states.
        ModelError: the model has no concepts, or its tokenizer does not give the positions of tokens in the text.
    """
    requested = _StateRequest.of(model, texts, concepts, states)
    with _attributing(model, texts, method, options) as work:
        return work.concepts(requested)


def attribute_label(
    model: ConceptBottleneck,
    texts: Sequence[str],
    classes: States | None = None,
    method: str = DEFAULT_METHOD,
    options: AttributionOptions = DEFAULT_OPTIONS,
) -> list[LabelAttribution]:
    """Attribute labels to the words of texts through the bottleneck: sum_k sum_s V_k[y,s] * IG(c_k[s]).

    Hard activations have no gradient to integrate. So a model with hard activations is explained by the soft ones.

    Args:
        classes: the class to explain, one for all texts or one for each; by default the predicted class

    Raises:
        ConfigError: unknown class or method (names the choices), or a wrong number of classes.
        ModelError: the model has no concepts, or its tokenizer does not give the positions of tokens in the text.
    """
    requested = None if classes is None else _state_indices(model.concept_set.label, classes, len(texts))
    with _attributing(model, texts, method, options) as work:
        return work.label(requested)


def attribute_both(
    model: ConceptBottleneck,
    texts: Sequence[str],
    concepts: Sequence[str] | None = None,
    states: Mapping[str, States] | None = None,
    method: str = DEFAULT_METHOD,
    options: AttributionOptions = DEFAULT_OPTIONS,
) -> tuple[list[dict[str, Attribution]], list[LabelAttribution]]:
    """The same as `attribute` and then `attribute_label`, in less time, since both share passes.

    Raises:
        ConfigError, ModelError: as `attribute`.
    """
    requested = _StateRequest.of(model, texts, concepts, states)
    with _attributing(model, texts, method, options) as work:
        return work.concepts(requested), work.label(None)


@dataclass(frozen=True)
class _StateRequest:
    """Concepts to explain, with the states that somebody asked for.

    Attributes:
        vocabulary: name -> concept, of those to explain and those with a state
        indices: name -> the state of each text, [texts]
    """

    names: tuple[str, ...]
    vocabulary: Mapping[str, Concept]
    indices: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls,
        model: ConceptBottleneck,
        texts: Sequence[str],
        concepts: Sequence[str] | None,
        states: Mapping[str, States] | None,
    ) -> "_StateRequest":
        names = model.concept_set.names if concepts is None else tuple(dict.fromkeys(concepts))
        if concepts is not None and not names:
            raise ConfigError("no concept is named; name those to explain, or none at all for all of them")
        vocabulary = {name: model.concept_set[name] for name in (*names, *(states or {}))}
        indices = {name: _state_indices(vocabulary[name], value, len(texts)) for name, value in (states or {}).items()}
        return cls(names, vocabulary, indices)


@dataclass(frozen=True)
class _Attributing:
    """A prepared model with its texts, for several values of them."""

    model: ConceptBottleneck
    passes: SharedPasses
    texts: Sequence[str]
    logits: Logits
    method: str
    options: AttributionOptions

    def concepts(self, request: _StateRequest) -> list[dict[str, Attribution]]:
        """As `attribute`."""
        states = {name: request.indices.get(name, self.logits.concepts[name].argmax(1)) for name in request.names}
        one_hot = {name: np.eye(len(request.vocabulary[name]))[indices] for name, indices in states.items()}
        weights = {name: values - values.mean(1, keepdims=True) for name, values in one_hot.items()}
        named = {name: [request.vocabulary[name].states[s] for s in states[name]] for name in request.names}
        return _attributions(self._subject(ExplainedValue(weights)), named, self.method, self.options)

    def label(self, requested: np.ndarray | None) -> list[LabelAttribution]:
        """As `attribute_label`."""
        label = self.model.concept_set.label
        explained = self.logits.label.argmax(1) if requested is None else requested
        V = {
            name: self.model.label_head.V(name).detach().double().cpu().numpy() for name in self.model.concept_set.names
        }
        weights = {name: (v - v.mean(0))[explained] for name, v in V.items()}
        activation = "logits" if self.model.settings.activation == "logits" else "soft"
        named = {name: [label.states[y] for y in explained] for name in V}
        subject = self._subject(ExplainedValue(weights, activation, summed=True))
        attributions = _attributions(subject, named, self.method, self.options)
        return [LabelAttribution(_sum_attributions(parts, label.name), parts) for parts in attributions]

    def _subject(self, value: ExplainedValue) -> Subject:
        tokenized = tokenize_words(self.model.tokenizer, self.texts, self.model.settings.max_length)
        return Subject(self.passes, tokenized, self.logits, value, self.options.baseline, self.options.batch_tokens)


@contextmanager
def _attributing(
    model: ConceptBottleneck, texts: Sequence[str], method: str, options: AttributionOptions
) -> Iterator[_Attributing]:
    if isinstance(texts, str):
        raise TypeError("attributions take a list of texts; wrap a single text: [text]")
    if method not in METHODS:
        raise ConfigError(unknown("attribution method", method, METHODS))
    with prepared(model) as ready:
        yield _Attributing(ready, SharedPasses(ready), texts, ready.logits(texts), method, options)


def _state_indices(concept: Concept, value: States, count: int) -> np.ndarray:
    """Indices of the states to explain, [texts]."""
    states = [value] * count if isinstance(value, str) else list(value)
    if len(states) != count:
        raise ConfigError(f"{len(states)} states of {concept.name!r} are given for {count} texts; give one for each")
    return np.array([concept.index(state) for state in states], dtype=int)


def _attributions(
    subject: Subject, states: Mapping[str, Sequence[str]], method: str, options: AttributionOptions
) -> list[dict[str, Attribution]]:
    """For each text: concept -> attribution of the value of the subject.

    Args:
        states: concept -> name of the explained state or class of each text
    """
    scores = METHODS[method].compute(subject, options)
    changes = subject.changes
    attributions: list[dict[str, Attribution]] = []
    for i, text in enumerate(subject.texts):
        words, special = text.merged(scores.tokens[i, :, : len(text.ids)])
        attributions.append({})
        for k, name in enumerate(subject.concepts):
            attributions[i][name] = Attribution(
                text=text.text,
                words=text.words,
                spans=text.spans,
                scores=tuple(words[k].tolist()),
                special=tuple(zip(text.special, special[k].tolist(), strict=True)),
                change=float(changes[i, k]),
                gap=float(words[k].sum() + special[k].sum() - changes[i, k]),
                method=method,
                baseline=options.baseline,
                concept=name,
                state=states[name][i],
                steps=int(scores.steps[i, k]),
                truncated=text.truncated,
            )
    return attributions


def _sum_attributions(parts: Mapping[str, Attribution], name: str) -> Attribution:
    """The sum of the attributions of one text."""
    first, *_ = parts.values()
    return replace(
        first,
        scores=tuple(map(sum, zip(*(part.scores for part in parts.values()), strict=True))),
        special=tuple(
            (scored[0][0], sum(score for _, score in scored))
            for scored in zip(*(part.special for part in parts.values()), strict=True)
        ),
        change=sum(part.change for part in parts.values()),
        gap=sum(part.gap for part in parts.values()),
        concept=name,
        steps=sum(part.steps for part in parts.values()),
    )
