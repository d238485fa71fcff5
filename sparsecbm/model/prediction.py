"""What a model predicts for a text, by name: a state and probabilities for the label and for each concept."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecbm.base.concepts import Concept


@dataclass(frozen=True)
class StatePrediction:
    """What a model predicts for one variable: the most probable state, and the probability of each state."""

    state: str
    probabilities: dict[str, float]

    @property
    def confidence(self) -> float:
        """Probability of the predicted state."""
        return self.probabilities[self.state]


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one text: its label, and the concepts that the label is computed from."""

    text: str
    label: StatePrediction
    concepts: dict[str, StatePrediction]

    def to_dict(self) -> dict[str, Any]:
        """Plain form; `sparsecbm/schemas/predict.schema.json` describes it."""
        return {
            "text": self.text,
            "label": self.label.state,
            "confidence": self.label.confidence,
            "probabilities": self.label.probabilities,
            "concepts": {
                name: {"state": concept.state, "confidence": concept.confidence, "probabilities": concept.probabilities}
                for name, concept in self.concepts.items()
            },
        }


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    exponents: np.ndarray = np.exp(shifted)
    normalised: np.ndarray = exponents / exponents.sum(-1, keepdims=True)
    return normalised


def state_predictions(variable: Concept, logits: np.ndarray) -> list[StatePrediction]:
    """Predictions of one variable (a concept or the label) for many texts, from its logits, [texts, states]."""
    return [
        StatePrediction(variable.states[int(row.argmax())], dict(zip(variable.states, row.tolist(), strict=True)))
        for row in softmax(logits)
    ]
