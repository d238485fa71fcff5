"""Explainers that use the model's own parts: what would the label be if a concept of a text had another state?

An explainer estimates the change of the label's probabilities, [pairs, classes], from `ConceptChanges`: the predictions
for the base texts, and the changes of state. It learns nothing of the counterfactual text, whose effect is the truth
(`icace`). The explainers here go through the bottleneck (method, section 4); those in `effect_baselines` do not.

concept_edit         sets c_k to the new state, and the label follows through V
concept_replacement  replaces c_k by other activations: through another mask, or of a text without some of its words
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.base.metrics import MISSING
from sparsecbm.evaluate.causal.counterfactuals import Pairs
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.heads import LabelHead, activate, apply_label_head
from sparsecbm.model.prediction import softmax
from sparsecbm.train.examples import class_indices

BASES = ("soft", "hard", "gold")


@dataclass(frozen=True, eq=False)
class TextPredictions:
    """The predictions of a model for the texts of a table.

    Attributes:
        label: [texts, classes], probabilities
        activations: concept -> [texts, states], as the label head sees them
        gold: concept -> [texts], indices of the gold states; -100 where unknown
    """

    label: np.ndarray
    activations: dict[str, np.ndarray]
    gold: dict[str, np.ndarray]

    def states(self, base: str) -> dict[str, np.ndarray]:
        """The concepts before a change, each [texts, states].

        Args:
            base: `soft`: the activations; `hard`: the predicted states, one-hot; `gold`: the gold states, one-hot, and
                the predicted ones where gold is unknown

        Raises:
            ConfigError: unknown base.
        """
        if base not in BASES:
            raise ConfigError(unknown("base", base, BASES))
        if base == "soft":
            return dict(self.activations)
        states = {}
        for name, values in self.activations.items():
            predicted, gold = values.argmax(-1), self.gold[name]
            state_indices = np.where(gold == MISSING, predicted, gold) if base == "gold" else predicted
            states[name] = np.eye(values.shape[1])[state_indices]
        return states


@dataclass(frozen=True, eq=False)
class ConceptChanges:
    """What an explainer knows of pairs of texts.

    Attributes:
        texts: the predictions for the base texts, one for each pair
        row: [pairs], indices of the base texts in their table
        concept: [pairs], names of the concepts that change
        before, after: [pairs], indices of their old and new states
    """

    texts: TextPredictions
    row: np.ndarray
    concept: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def by_concept(self) -> Iterator[tuple[str, np.ndarray]]:
        """The name of each concept that changes, with the indices of its pairs."""
        for name in np.unique(self.concept):
            yield str(name), np.flatnonzero(self.concept == name)

    def changed(self, start: Mapping[str, np.ndarray], by_state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The concepts after the change, each [pairs, states]. Only the concept that changes gets new values.

        Args:
            start: concept -> [pairs, states]
            by_state: concept -> [states, states], the activations of a concept in each state
        """
        changed = {name: values.copy() for name, values in start.items()}
        for name, rows in self.by_concept():
            changed[name][rows] = by_state[name][self.after[rows]]
        return changed


Explainer = Callable[[ConceptChanges], np.ndarray]


def predict_texts(
    model: ConceptBottleneck, frame: pd.DataFrame, batch_size: int = 32, logits: Logits | None = None
) -> TextPredictions:
    """Run a model over an annotated table.

    Args:
        logits: of the table's texts, if they are known already

    Raises:
        ModelError: the model has no bottleneck.
    """
    if not model.has_bottleneck:
        raise ModelError("a model of mode `standard` has no concepts, so none of them can explain its label")
    logits = logits or model.logits(frame["text"].tolist(), batch_size)
    return TextPredictions(
        softmax(logits.label),
        _activations(model, logits),
        {c.name: class_indices(frame[f"concept.{c.name}"], c).numpy() for c in model.concept_set},
    )


def predict_activations(model: ConceptBottleneck, texts: Sequence[str], batch_size: int = 32) -> dict[str, np.ndarray]:
    """The activations of texts, concept -> [texts, states], for `concept_replacement`."""
    return _activations(model, model.logits(texts, batch_size))


def concept_changes(model: ConceptBottleneck, texts: TextPredictions, pairs: Pairs) -> ConceptChanges:
    """What an explainer may know of pairs of rows of a table, from the table's predictions."""
    rows = pairs.base
    base = TextPredictions(
        texts.label[rows],
        {name: values[rows] for name, values in texts.activations.items()},
        {name: values[rows] for name, values in texts.gold.items()},
    )
    concepts = {concept.name: concept for concept in model.concept_set}
    before, after = (
        np.array([concepts[name].index(state) for name, state in zip(pairs.concept, states, strict=True)])
        for states in (pairs.before, pairs.after)
    )
    return ConceptChanges(base, rows, pairs.concept, before, after)


def one_hot_states(states: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The activations of a concept that is surely in a state: concept -> [states, states]."""
    return {name: np.eye(values.shape[1]) for name, values in states.items()}


def concept_edit(head: LabelHead, base: str = "soft", by_state: Mapping[str, np.ndarray] | None = None) -> Explainer:
    """Set c_k to the new state and let the label follow through V. The effect is the change from the base.

    Args:
        head: the model's `label_head`, or its `hard_head`, which is fitted on one-hot concepts
        base: soft | hard | gold, as in `TextPredictions.states`
        by_state: concept -> [states, states], what c_k becomes in each state; by default one-hot. Activations of kind
            `logits` have no one-hot form: give the mean activations of texts of each state instead
    """

    def explain(changes: ConceptChanges) -> np.ndarray:
        start = changes.texts.states(base)
        edited = changes.changed(start, by_state or one_hot_states(start))
        return label_probabilities(head, edited) - label_probabilities(head, start)

    return explain


def concept_replacement(head: LabelHead, other: Mapping[str, np.ndarray]) -> Explainer:
    """Replace c_k by other activations of the same text. The other concepts do not change.

    If these activations are blind to the concept, this is the effect of losing the concept, whatever the new state.
    They are blind if they come through a mask without its exclusive weights, or from a text without its words.

    Args:
        other: concept -> [texts, states], activations of all texts of the table
    """

    def explain(changes: ConceptChanges) -> np.ndarray:
        start = changes.texts.activations
        changed = {name: values.copy() for name, values in start.items()}
        for name, rows in changes.by_concept():
            changed[name][rows] = other[name][changes.row[rows]]
        return label_probabilities(head, changed) - label_probabilities(head, start)

    return explain


def label_probabilities(head: LabelHead, activations: Mapping[str, np.ndarray]) -> np.ndarray:
    """Probabilities of the label, [texts, classes], from the activations of the concepts, each [texts, states]."""
    return softmax(apply_label_head(head, np.concatenate([activations[name] for name in head.names], axis=1)))


def _activations(model: ConceptBottleneck, logits: Logits) -> dict[str, np.ndarray]:
    kind = model.settings.activation
    return {name: activate(torch.from_numpy(raw).double(), kind).numpy() for name, raw in logits.concepts.items()}
