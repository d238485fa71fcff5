"""Explainers by the model's own parts: what would the label be if a concept of a text had another state?

An explainer answers `ConceptChanges`, one a pair, by estimated changes of the label's probabilities, [pairs, classes].
It is told the base text as the model reads it and the change of state, and nothing of the counterfactual text, whose
effect is the truth (`icace`). Here are those that go through the bottleneck (method, section 4); `effect_baselines`
has those that do not.

concept_edit    set c_k to the new state, and let the label follow through V
concept_reread  let c_k be what the concept reads in another way: through another mask, or in a text without words
reread          read the whole text in another way, as after a mask patch
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.base.metrics import MISSING
from sparsecbm.evaluate.causal.counterfactuals import Pairs
from sparsecbm.evaluate.variables import label_logits
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.heads import LabelHead, activate
from sparsecbm.model.prediction import softmax
from sparsecbm.train.examples import indices

BASES = ("soft", "hard", "gold")


@dataclass(frozen=True, eq=False)
class TextPredictions:
    """The texts of a table as a model reads them.

    Attributes:
        label: [texts, classes], probabilities
        activations: concept -> [texts, states], as the label head sees them
        gold: concept -> [texts], class indices, -100 where nobody knows
    """

    label: np.ndarray
    activations: dict[str, np.ndarray]
    gold: dict[str, np.ndarray]

    def states(self, base: str) -> dict[str, np.ndarray]:
        """The concepts that a change starts from, each [texts, states].

        Args:
            base: the activations (soft), the states read, one-hot (hard), or the gold states, one-hot, with those
                read in place of unknown ones (gold)

        Raises:
            ConfigError: unknown base.
        """
        if base not in BASES:
            raise ConfigError(unknown("base", base, BASES))
        if base == "soft":
            return dict(self.activations)
        found = {}
        for name, values in self.activations.items():
            read, gold = values.argmax(-1), self.gold[name]
            known = np.where(gold == MISSING, read, gold)
            found[name] = np.eye(values.shape[1])[known if base == "gold" else read]
        return found


@dataclass(frozen=True, eq=False)
class ConceptChanges:
    """What an explainer is told of pairs.

    Attributes:
        texts: the base texts, one a pair
        row: [pairs], places of the base texts in their table
        concept: [pairs], names
        before, after: [pairs], class indices of the states of that concept
    """

    texts: TextPredictions
    row: np.ndarray
    concept: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def by_concept(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each concept that is asked about, and the places of its questions."""
        for name in np.unique(self.concept):
            yield str(name), np.flatnonzero(self.concept == name)

    def changed(self, start: Mapping[str, np.ndarray], readings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Concepts after the change: the one in question becomes what its new state reads, the others stay.

        Args:
            start: concept -> [pairs, states]
            readings: concept -> [states, states], what a concept reads by state
        """
        changed = {name: values.copy() for name, values in start.items()}
        for name, places in self.by_concept():
            changed[name][places] = readings[name][self.after[places]]
        return changed


Explainer = Callable[[ConceptChanges], np.ndarray]


def predict_texts(
    model: ConceptBottleneck, frame: pd.DataFrame, batch_size: int = 32, logits: Logits | None = None
) -> TextPredictions:
    """Read an annotated table.

    Args:
        logits: of its texts, if they were read already

    Raises:
        ModelError: the model has no bottleneck.
    """
    if not model.has_bottleneck:
        raise ModelError("a model of mode `standard` has no concepts, so none of them can explain its label")
    logits = logits or model.logits(frame["text"].tolist(), batch_size)
    return TextPredictions(
        softmax(logits.label),
        _activations(model, logits),
        {c.name: indices(frame[f"concept.{c.name}"], c).numpy() for c in model.concept_set},
    )


def predict_activations(model: ConceptBottleneck, texts: Sequence[str], batch_size: int = 32) -> dict[str, np.ndarray]:
    """Activations of texts, concept -> [texts, states], as `concept_replacement` takes them."""
    return _activations(model, model.logits(texts, batch_size))


def concept_changes(model: ConceptBottleneck, texts: TextPredictions, pairs: Pairs) -> ConceptChanges:
    """What may be known of pairs of rows of a table that was read."""
    rows = pairs.base
    base = TextPredictions(
        texts.label[rows],
        {name: values[rows] for name, values in texts.activations.items()},
        {name: values[rows] for name, values in texts.gold.items()},
    )
    of_name = {concept.name: concept for concept in model.concept_set}
    before, after = (
        np.array([of_name[name].index(state) for name, state in zip(pairs.concept, states, strict=True)])
        for states in (pairs.before, pairs.after)
    )
    return ConceptChanges(base, rows, pairs.concept, before, after)


def sure(states: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a concept reads that is in a state for sure: one-hot, concept -> [states, states]."""
    return {name: np.eye(values.shape[1]) for name, values in states.items()}


def concept_edit(head: LabelHead, base: str = "soft", readings: Mapping[str, np.ndarray] | None = None) -> Explainer:
    """Set c_k to the new state and let the label follow through V; the effect is counted from the base as given.

    Args:
        head: the model's `label_head`, or its `hard_head`, which is fitted on one-hot concepts
        base: soft | hard | gold, as in `TextPredictions.states`
        readings: concept -> [states, states], what c_k becomes by state; by default the state for sure. Activations of
            kind `logits` have no sure state: there give what texts of each state read on average
    """

    def explain(asked: ConceptChanges) -> np.ndarray:
        start = asked.texts.states(base)
        return label_probabilities(head, asked.changed(start, readings or sure(start))) - label_probabilities(
            head, start
        )

    return explain


def concept_replacement(head: LabelHead, other: Mapping[str, np.ndarray]) -> Explainer:
    """Let c_k be what the concept reads in another way; the other concepts stay as they are.

    Where the other way is blind to the concept (through a mask without its own weights, in a text without the words
    that its reading rests on), this is the effect of losing the concept, whatever the new state.

    Args:
        other: concept -> [texts, states], activations of all texts of the table
    """

    def explain(asked: ConceptChanges) -> np.ndarray:
        start = asked.texts.activations
        changed = {name: values.copy() for name, values in start.items()}
        for name, places in asked.by_concept():
            changed[name][places] = other[name][asked.row[places]]
        return label_probabilities(head, changed) - label_probabilities(head, start)

    return explain


def label_replacement(label: np.ndarray) -> Explainer:
    """Let the base text of each pair be read in another way, as by a model whose mask was patched for the new state.

    Args:
        label: [pairs, classes], probabilities in that reading
    """
    return lambda asked: label - asked.texts.label


def label_probabilities(head: LabelHead, activations: Mapping[str, np.ndarray]) -> np.ndarray:
    """Probabilities of the label, [texts, classes], from concepts, each [texts, states]."""
    return softmax(label_logits(head, np.concatenate([activations[name] for name in head.names], axis=1)))


def _activations(model: ConceptBottleneck, logits: Logits) -> dict[str, np.ndarray]:
    kind = model.settings.activation
    return {name: activate(torch.from_numpy(raw).double(), kind).numpy() for name, raw in logits.concepts.items()}
