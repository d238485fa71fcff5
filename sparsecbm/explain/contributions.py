"""Contributions of the concepts of a text to its label. They are exact, since the label is linear in the concepts.

Contribution of concept k to class y: V_k[y] . (c_k - mean c_k), with the mean over the training set (method, section
3). The contributions and the label logit of the mean add up to the label logit of the text. Only differences between
classes matter, so V, b and all logits are centred over the classes.

There are contributions through both label heads (see `sparsecbm.model.heads`). For the head `hard`, the mean is the
shares of the gold states in the training set.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch

from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.heads import HEADS, LabelHead, activate


@dataclass(frozen=True)
class Step:
    """One concept of a waterfall: its predicted state, its contribution, and the sum before and after it."""

    concept: str
    state: str
    value: float
    before: float
    after: float


@dataclass(frozen=True)
class Waterfall:
    """The logit of one class, step by step from the mean training text to this text; the largest step first."""

    label: str
    start: float
    steps: tuple[Step, ...]
    end: float

    def to_dict(self) -> dict:
        """Plain form for JSON."""
        return {**asdict(self), "steps": [asdict(step) for step in self.steps]}


@dataclass(frozen=True)
class Contributions:
    """Contributions of the concepts of one text to the logits of all classes, through one label head.

    For every class, `start` and the `steps` add up to `end`.

    Attributes:
        head: soft | hard
        states: concept -> predicted state
        start: class -> logit of the mean over the training set, centred over the classes
        steps: concept -> class -> contribution
        end: class -> logit of the text, centred over the classes
    """

    head: str
    states: dict[str, str]
    start: dict[str, float]
    steps: dict[str, dict[str, float]]
    end: dict[str, float]

    @property
    def label(self) -> str:
        """The class with the highest logit."""
        return max(self.end, key=self.end.get)

    def waterfall(self, label: str | None = None) -> Waterfall:
        """From start to end for one class, by default the one with the highest logit.

        Raises:
            ConfigError: unknown class; names the choices.
        """
        label = self.label if label is None else label
        if label not in self.end:
            raise ConfigError(unknown("class", label, self.end))
        steps, total = [], self.start[label]
        for concept in sorted(self.steps, key=lambda name: -abs(self.steps[name][label])):
            value = self.steps[concept][label]
            steps.append(Step(concept, self.states[concept], value, total, total + value))
            total += value
        return Waterfall(label, self.start[label], tuple(steps), self.end[label])

    def to_dict(self) -> dict:
        """Plain form for JSON."""
        return {"label": self.label, **asdict(self)}


@dataclass(frozen=True)
class StateEffects:
    """The effect of each state on each class, in any text.

    An effect is the contribution of a concept that is certainly in that state: V_k[y, s] - V_k[y] . mean c_k. A
    contribution is the mean of its concept's effects, weighted by the activation: sum_s c_k[s] * effect. Without the
    second term, a part of the bias could hide in V_k, since the activations of a concept add up to 1. Activations of
    kind `logits` do not add up to 1 and have no certain state. Their effect is
    V_k[y, s], for one more unit of the logit.

    Attributes:
        head: soft | hard
        values: concept -> state -> class -> effect on the logit, centred over the classes
    """

    head: str
    values: dict[str, dict[str, dict[str, float]]]

    def table(self) -> pd.DataFrame:
        """A row for each state, indexed by concept and state, and a column for each class."""
        rows = {(name, state): by for name, states in self.values.items() for state, by in states.items()}
        index = pd.MultiIndex.from_tuples(rows, names=["concept", "state"])
        return pd.DataFrame(list(rows.values()), index=index)

    def to_dict(self) -> dict:
        """Plain form for JSON."""
        return asdict(self)


def compute_contributions(
    model: ConceptBottleneck, texts: Sequence[str], head: str = "soft", batch_size: int = 32
) -> list[Contributions]:
    """Contributions of the concepts of each text, which the model first predicts.

    Raises:
        ModelError, ConfigError: as `contributions_from_logits`.
    """
    if isinstance(texts, str):
        raise TypeError("contributions takes a list of texts; wrap a single text: compute_contributions(model, [text])")
    _terms(model, head)  # fails at once, before the predictions, which take time
    return contributions_from_logits(model, model.logits(texts, batch_size), head)


def contributions_from_logits(model: ConceptBottleneck, logits: Logits, head: str = "soft") -> list[Contributions]:
    """Contributions of the concepts of texts from their logits, in float64.

    Args:
        logits: as `model.logits` returns them for a list of texts
        head: soft | hard

    Raises:
        ModelError: the model has no bottleneck, no training means, or not that head.
        ConfigError: unknown head.
    """
    terms = _terms(model, head)
    concept_set, classes = model.concept_set, model.concept_set.label.states
    activations = {
        name: activate(torch.from_numpy(values).double(), terms.kind).numpy()
        for name, values in logits.concepts.items()
    }  # each [texts, states]
    steps = {n: (c - terms.means[n]) @ terms.weights[n].T for n, c in activations.items()}  # each [texts, classes]
    start = terms.bias + sum(terms.weights[name] @ mean for name, mean in terms.means.items())  # [classes]
    end = terms.bias + sum(c @ terms.weights[name].T for name, c in activations.items())  # [texts, classes]
    states = {name: values.argmax(-1) for name, values in logits.concepts.items()}  # each [texts]
    return [
        Contributions(
            head,
            {name: concept_set[name].states[indices[i]] for name, indices in states.items()},
            _by_class(classes, start),
            {name: _by_class(classes, values[i]) for name, values in steps.items()},
            _by_class(classes, end[i]),
        )
        for i in range(len(logits.label))
    ]


def compute_state_effects(model: ConceptBottleneck, head: str = "soft") -> StateEffects:
    """Effects of all states on all classes.

    Raises:
        ModelError, ConfigError: as `contributions_from_logits`.
    """
    terms = _terms(model, head)
    classes, values = model.concept_set.label.states, {}
    for concept in model.concept_set:
        weights = terms.weights[concept.name]  # [classes, states]
        if terms.kind != "logits":
            weights = weights - (weights @ terms.means[concept.name])[:, None]
        values[concept.name] = {s: _by_class(classes, weights[:, i]) for i, s in enumerate(concept.states)}
    return StateEffects(head, values)


@dataclass(frozen=True, eq=False)
class _Terms:
    """A label head in float64, centred over the classes.

    Attributes:
        kind: of its activations: soft | logits | hard
        weights: concept -> V_k, [classes, states]
        bias: [classes]
        means: concept -> mean c_k on the training set, [states]
    """

    kind: str
    weights: dict[str, np.ndarray]
    bias: np.ndarray
    means: dict[str, np.ndarray]


def _terms(model: ConceptBottleneck, head: str) -> _Terms:
    if head not in HEADS:
        raise ConfigError(unknown("label head", head, HEADS))
    if not model.has_bottleneck:
        raise ModelError(
            "a model of mode `standard` has no concepts to contribute to its label; train one with another mode"
        )
    label_head: LabelHead | None = model.label_head if head == "soft" else model.hard_head
    if label_head is None:
        raise ModelError("the model has no `hard_head`, which training fits at its end; train the model again")
    kind, key = (model.settings.activation, "activations") if head == "soft" else ("hard", "concept_shares")
    if key not in model.means:
        raise ModelError(
            f"the model has no training means (`{key}`), which contributions need; "
            "load a trained model with `SparseCBM.from_pretrained`"
        )
    weights = {name: _centred(label_head.V(name)) for name in model.concept_set.names}
    means = {c.name: np.array([model.means[key][c.name][state] for state in c.states]) for c in model.concept_set}
    return _Terms(kind, weights, _centred(label_head.linear.bias), means)


def _centred(values: torch.Tensor) -> np.ndarray:
    """Values, [classes, ...], minus their mean over the classes."""
    values = values.detach().double().cpu().numpy()
    return values - values.mean(0)


def _by_class(classes: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    return dict(zip(classes, values.tolist(), strict=True))
