"""Explained texts as the report shows them: what was read of each, and which ones are worth a look."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sparsecbm.explain.explanation import ConceptExplanation, Explanation, LabelExplanation

LABEL = "label"  # what filters call the label, whatever its name
SHOWN = 5  # examples in each list
EXCERPT = 120  # letters of an example
MISREADINGS = 12  # kinds of misreading that are listed


@dataclass(frozen=True)
class Reading:
    """The label or one concept of one text.

    Attributes:
        gold: the true state; None where nobody said
        confidence: probability of the state that was read
    """

    name: str
    read: str
    gold: str | None
    confidence: float

    @property
    def right(self) -> bool | None:
        return None if self.gold is None else self.read == self.gold


@dataclass(frozen=True)
class Example:
    """One explained text, and the anchor of its card."""

    anchor: str
    label: Reading
    concepts: tuple[Reading, ...]
    explanation: Explanation

    @classmethod
    def of(cls, explanation: Explanation, number: int) -> "Example":
        label, concepts = explanation.label, explanation.concepts
        return cls(
            f"card-{number}",
            _reading(label.name, label),
            tuple(_reading(name, concept) for name, concept in concepts.items()),
            explanation,
        )

    @property
    def text(self) -> str:
        return self.explanation.text

    @property
    def excerpt(self) -> str:
        return self.text if len(self.text) <= EXCERPT else self.text[: EXCERPT - 1] + "…"

    @property
    def readings(self) -> dict[str, dict]:
        """What the filters of the page look at: `label` and each concept."""
        named = {LABEL: self.label} | {concept.name: concept for concept in self.concepts}
        return {
            name: {"read": reading.read, "gold": reading.gold, "confidence": round(reading.confidence, 4)}
            for name, reading in named.items()
        }


@dataclass(frozen=True)
class Misreading:
    """One way in which a concept was misread, how often, and the text where the model was surest."""

    concept: str
    gold: str
    read: str
    texts: int
    surest: Example


def best(examples: Sequence[Example]) -> list[Example]:
    """Label and all concepts right, the surest first."""
    right = [e for e in examples if e.label.right and all(concept.right is not False for concept in e.concepts)]
    return sorted(right, key=lambda e: -e.label.confidence)[:SHOWN]


def worst(examples: Sequence[Example]) -> list[Example]:
    """Label wrong, the surest first."""
    wrong = [e for e in examples if e.label.right is False]
    return sorted(wrong, key=lambda e: -e.label.confidence)[:SHOWN]


def misreadings(examples: Sequence[Example]) -> list[Misreading]:
    """Ways in which concepts were misread, the most frequent first."""
    found: Counter[tuple[str, str, str]] = Counter()
    surest: dict[tuple[str, str, str], tuple[float, Example]] = {}
    for example in examples:
        for concept in example.concepts:
            if concept.right is False:
                key = (concept.name, concept.gold, concept.read)
                found[key] += 1
                if key not in surest or concept.confidence > surest[key][0]:
                    surest[key] = (concept.confidence, example)
    return [Misreading(*key, texts, surest[key][1]) for key, texts in found.most_common(MISREADINGS)]


def vocabulary(examples: Sequence[Example]) -> list[tuple[str, str, list[str]]]:
    """What filters offer: the name of a variable, its title and its states; an empty name is any concept."""
    if not examples:
        return []
    explanation = examples[0].explanation
    states = {name: list(concept.probabilities) for name, concept in explanation.concepts.items()}
    every = list(dict.fromkeys(state for of in states.values() for state in of))
    return [
        (LABEL, f"{explanation.label.name} (label)", list(explanation.label.probabilities)),
        ("", "any concept", every),
        *((name, name, of) for name, of in states.items()),
    ]


def _reading(name: str, found: LabelExplanation | ConceptExplanation) -> Reading:
    return Reading(name, found.state, found.gold, found.probabilities[found.state])
