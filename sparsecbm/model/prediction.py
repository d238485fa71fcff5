"""What a model reads in a text, in names: a state and its probability for the label and for each concept."""

from dataclasses import dataclass

import numpy as np

from sparsecbm.base.concepts import Concept


@dataclass(frozen=True)
class Reading:
    """What a model reads for one variable: the winning state and the probability of each."""

    state: str
    probabilities: dict[str, float]

    @property
    def confidence(self) -> float:
        """Probability of the winning state."""
        return self.probabilities[self.state]


@dataclass(frozen=True)
class Prediction:
    """The reading of one text: its label, and the concepts that the label was computed from."""

    text: str
    label: Reading
    concepts: dict[str, Reading]

    def to_dict(self) -> dict:
        """Plain form; `sparsecbm/schemas/predict.schema.json` describes it."""
        return {
            "text": self.text,
            "label": self.label.state,
            "confidence": self.label.confidence,
            "probabilities": self.label.probabilities,
            "concepts": {
                name: {"state": r.state, "confidence": r.confidence, "probabilities": r.probabilities}
                for name, r in self.concepts.items()
            },
        }


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    exponents = np.exp(shifted)
    return exponents / exponents.sum(-1, keepdims=True)


def readings(variable: Concept, logits: np.ndarray) -> list[Reading]:
    """What many texts say of one variable (a concept or the label), from its logits, [texts, states]."""
    return [
        Reading(variable.states[int(row.argmax())], dict(zip(variable.states, row.tolist(), strict=True)))
        for row in softmax(logits)
    ]
