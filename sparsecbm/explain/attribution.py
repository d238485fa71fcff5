"""Which words made a model read a concept as it does, or made its label: one interface over all methods.

What is explained of concept k and state s is the logit of s less the mean logit of the concept's states. A logit,
because a probability near 0 or 1 hardly moves, whatever the words do; less the mean, because softmax ignores what moves
all states alike, so a plain logit is not even determined by what the model reads.

What is explained of class y of the label is the sum over concepts of V_k[y] . c_k, with V centred over the classes for
the same reason. Attributions are linear in it: sum_k sum_s V_k[y,s] * IG(c_k[s]).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.explain.gradients import gradient_x_input, integrated_gradients
from sparsecbm.explain.references import attention_rollout, leave_one_out, random_scores
from sparsecbm.explain.subject import BASELINES, Subject, TokenScores, prepared
from sparsecbm.explain.words import tokenize_words
from sparsecbm.model.cbm import ConceptBottleneck, Logits

States = str | Sequence[str]  # one for all texts, or one for each


@dataclass(frozen=True)
class AttributionOptions:
    """How attributions are computed.

    Attributes:
        baseline: pad | mask | zero: what the words of a text become where it is taken away
        steps: gradients of integrated gradients in each part of the path
        tolerance: completeness gap that is allowed, relative to the change of the value (to 1, where it is less)
        max_steps: a text and concept that took as many gradients gets no more, whatever its gap
        seed: of the method `random`
        batch_tokens: the most tokens of one pass, times the number of concepts; more fall out of a core's cache

    Raises:
        ConfigError: a value is out of range, or the baseline unknown.
    """

    baseline: str = "pad"
    steps: int = 16
    tolerance: float = 0.05
    max_steps: int = 512
    seed: int = 0
    batch_tokens: int = 768

    def __post_init__(self) -> None:
        if self.baseline not in BASELINES:
            raise ConfigError(unknown("baseline", self.baseline, BASELINES))
        for name in ("steps", "max_steps", "batch_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not self.tolerance > 0:
            raise ConfigError(f"tolerance is {self.tolerance}; it must be above 0")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it must be at least 0")


@dataclass(frozen=True)
class Attribution:
    """What each word of a text did to one value that a model computes.

    Attributes:
        text: the original; `text[start:end]` of each span is its word
        words, spans, scores: one a word, in order; above 0, the word speaks for the state
        special: tokens that belong to no word (special tokens, space), with their scores
        change: the value at the text less the value at the baseline
        gap: completeness gap, the sum of all scores less `change`; near 0 for integrated gradients only
        concept, state: what the value stands for
        steps: gradients that were taken; 0 for a method that takes none
        truncated: whether the model read only the beginning of the text
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
    """What each word of a text did to its label, along the bottleneck.

    Attributes:
        total: the label's name stands for the concept, the class for the state
        parts: concept -> what went through it, which add up to the total; their state is the class, too
    """

    total: Attribution
    parts: dict[str, Attribution]


METHODS: dict[str, Callable[[Subject, AttributionOptions], TokenScores]] = {
    "integrated_gradients": lambda s, options: integrated_gradients(
        s, options.steps, options.tolerance, options.max_steps
    ),
    "gradient_x_input": lambda s, options: gradient_x_input(s),
    "leave_one_out": lambda s, options: leave_one_out(s),
    "attention_rollout": lambda s, options: attention_rollout(s),
    "random": lambda s, options: random_scores(s, options.seed),
}


def attribute(
    model: ConceptBottleneck,
    texts: Sequence[str],
    concepts: Sequence[str] | None = None,
    states: Mapping[str, States] | None = None,
    method: str = "integrated_gradients",
    options: AttributionOptions = AttributionOptions(),
) -> list[dict[str, Attribution]]:
    """Attribute how concepts are read to the words of texts, each concept through its own subnetwork.

    A model without masks is explained densely. The model is left as it was.

    Args:
        concepts: names; by default all
        states: concept -> the state to explain, for all texts or one for each; by default the predicted one
        method: a key of `METHODS`

    Returns:
        for each text: concept -> attribution

    Raises:
        ConfigError: unknown concept, state or method (with the choices), or not one state a text.
        ModelError: the model has no concepts, or its tokenizer does not say where its tokens stand.
    """
    _check(texts, method)
    names = model.concept_set.names if concepts is None else tuple(dict.fromkeys(concepts))
    vocabulary = {name: model.concept_set[name] for name in (*names, *(states or {}))}
    given = {name: _places(vocabulary[name], value, len(texts)) for name, value in (states or {}).items()}
    with prepared(model) as ready:
        logits = ready.logits(texts)
        explained = {name: given.get(name, logits.concepts[name].argmax(1)) for name in names}
        weights = {name: np.eye(len(vocabulary[name]))[chosen] for name, chosen in explained.items()}
        weights = {name: one - one.mean(1, keepdims=True) for name, one in weights.items()}
        named = {name: [vocabulary[name].states[s] for s in explained[name]] for name in names}
        return _attributions(ready, texts, logits, weights, "logits", named, method, options)


def attribute_label(
    model: ConceptBottleneck,
    texts: Sequence[str],
    classes: States | None = None,
    method: str = "integrated_gradients",
    options: AttributionOptions = AttributionOptions(),
) -> list[LabelAttribution]:
    """Attribute labels to the words of texts along the bottleneck: sum_k sum_s V_k[y,s] * IG(c_k[s]).

    Hard activations have no gradient to integrate; a model that has them is explained by the soft ones that they are
    taken from.

    Args:
        classes: the class to explain, for all texts or one for each; by default the predicted one

    Raises:
        ConfigError: unknown class or method (with the choices), or not one class a text.
        ModelError: the model has no concepts, or its tokenizer does not say where its tokens stand.
    """
    _check(texts, method)
    label = model.concept_set.label
    given = None if classes is None else _places(label, classes, len(texts))
    with prepared(model) as ready:
        logits = ready.logits(texts)
        explained = logits.label.argmax(1) if given is None else given
        V = {name: ready.label_head.V(name).detach().double().cpu().numpy() for name in model.concept_set.names}
        weights = {name: (v - v.mean(0))[explained] for name, v in V.items()}
        activation = "logits" if model.settings.activation == "logits" else "soft"
        named = {name: [label.states[y] for y in explained] for name in V}
        found = _attributions(ready, texts, logits, weights, activation, named, method, options)
    return [LabelAttribution(_added(parts, label.name), parts) for parts in found]


def _check(texts: Sequence[str], method: str) -> None:
    if isinstance(texts, str):
        raise TypeError("attributions take a list of texts; wrap a single text: [text]")
    if method not in METHODS:
        raise ConfigError(unknown("attribution method", method, METHODS))


def _places(concept: Concept, value: States, count: int) -> np.ndarray:
    """Places of the states to explain, [texts]."""
    chosen = [value] * count if isinstance(value, str) else list(value)
    if len(chosen) != count:
        raise ConfigError(f"{len(chosen)} states of {concept.name!r} are given for {count} texts; give one for each")
    return np.array([concept.index(state) for state in chosen], dtype=int)


def _attributions(
    model: ConceptBottleneck,
    texts: Sequence[str],
    logits: Logits,
    weights: Mapping[str, np.ndarray],
    activation: str,
    states: Mapping[str, Sequence[str]],
    method: str,
    options: AttributionOptions,
) -> list[dict[str, Attribution]]:
    """For each text: concept -> attribution of the value that the weights make of its logits or activations."""
    worded = tokenize_words(model.tokenizer, texts, model.settings.max_length)
    subject = Subject(model, worded, logits, weights, activation, options.baseline, options.batch_tokens)
    scores = METHODS[method](subject, options)
    changes, found = subject.changes, []
    for i, text in enumerate(worded):
        words, apart = text.merged(scores.tokens[i, :, : len(text.ids)])
        found.append({})
        for place, name in enumerate(subject.concepts):
            found[i][name] = Attribution(
                text=text.text,
                words=text.words,
                spans=text.spans,
                scores=tuple(words[place].tolist()),
                special=tuple(zip(text.apart, apart[place].tolist(), strict=True)),
                change=float(changes[i, place]),
                gap=float(words[place].sum() + apart[place].sum() - changes[i, place]),
                method=method,
                baseline=options.baseline,
                concept=name,
                state=states[name][i],
                steps=int(scores.steps[i, place]),
                truncated=text.truncated,
            )
    return found


def _added(parts: Mapping[str, Attribution], name: str) -> Attribution:
    """The sum of the attributions of one text."""
    first, *_ = parts.values()
    return replace(
        first,
        scores=tuple(map(sum, zip(*(part.scores for part in parts.values()), strict=True))),
        special=tuple(
            (same[0][0], sum(score for _, score in same))
            for same in zip(*(part.special for part in parts.values()), strict=True)
        ),
        change=sum(part.change for part in parts.values()),
        gap=sum(part.gap for part in parts.values()),
        concept=name,
        steps=sum(part.steps for part in parts.values()),
    )
