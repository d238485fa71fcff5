"""Explained texts as the report shows them: their predictions, and which texts deserve a look."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sparsecbm.explain.explanation import ConceptExplanation, Explanation, LabelExplanation

LABEL = "label"  # the label's name in filters, whatever its name in the data
MAX_EXAMPLES = 5  # in each list
MAX_CONFUSIONS = 12
SURE = 0.8  # least probability of a label that is called highly confident
MAX_CHIPS = 12  # predictions of concepts above a text
EXCERPT = 120  # characters of an example
CLEAR = 0.6  # least probability of a state that a reader sees at first
SHORT = 300  # characters of a text that is read at a glance


@dataclass(frozen=True)
class ShownPrediction:
    """The predicted state of the label or of one concept of one text.

    Attributes:
        gold: the annotated state; None where it is unknown
        confidence: probability of the predicted state
    """

    name: str
    state: str
    gold: str | None
    confidence: float

    @property
    def right(self) -> bool | None:
        return None if self.gold is None else self.state == self.gold


@dataclass(frozen=True)
class Example:
    """One explained text, and the anchor of its card."""

    anchor: str
    label: ShownPrediction
    concepts: tuple[ShownPrediction, ...]
    explanation: Explanation

    @classmethod
    def from_explanation(cls, explanation: Explanation, number: int) -> "Example":
        label, concepts = explanation.label, explanation.concepts
        return cls(
            f"card-{number}",
            _prediction(label.name, label),
            tuple(_prediction(name, concept) for name, concept in concepts.items()),
            explanation,
        )

    @property
    def text(self) -> str:
        return self.explanation.text

    @property
    def excerpt(self) -> str:
        return self.text if len(self.text) <= EXCERPT else self.text[: EXCERPT - 1] + "…"

    @property
    def chips(self) -> tuple[ShownPrediction, ...]:
        """Predictions of the concepts that are shown above the text, in their order; of many, wrong ones first."""
        chosen = sorted(self.concepts, key=lambda concept: concept.right is not False)[:MAX_CHIPS]
        return tuple(concept for concept in self.concepts if concept in chosen)

    @property
    def predictions(self) -> dict[str, dict]:
        """What the filters of the page look at: predictions of `label` and each concept."""
        by_name = {LABEL: self.label} | {concept.name: concept for concept in self.concepts}
        return {
            name: {
                "state": prediction.state,
                "gold": prediction.gold,
                "confidence": round(prediction.confidence, 4),
            }
            for name, prediction in by_name.items()
        }


@dataclass(frozen=True)
class Confusion:
    """One kind of wrong prediction of a concept, its number of texts, and the text with the highest confidence."""

    concept: str
    gold: str
    state: str
    texts: int
    surest: Example


def first_example(examples: Sequence[Example]) -> Example | None:
    """The text that the page begins with, so that a reader sees how a label comes about; None without examples.

    Of the texts whose label and annotated concepts are all right (of all texts if there is none), those of at most
    `SHORT` characters go first, then those whose concepts all have a state of `CLEAR` or more (a concept between two
    states adds for both), and then the one whose second-largest contribution of a concept is the largest, since more
    than one concept decides there.
    """

    def worth(example: Example) -> tuple[bool, bool, float]:
        sizes = sorted(abs(concept.contribution) for concept in example.explanation.concepts.values())
        clear = all(concept.confidence >= CLEAR for concept in example.concepts)
        return len(example.text) <= SHORT, clear, sizes[-2] if len(sizes) > 1 else 0.0

    return max([e for e in examples if _all_right(e)] or examples, key=worth, default=None)


def best_examples(examples: Sequence[Example]) -> list[Example]:
    """Texts whose label and annotated concepts are all right, the highest confidence first."""
    return sorted(filter(_all_right, examples), key=lambda e: -e.label.confidence)[:MAX_EXAMPLES]


def worst_examples(examples: Sequence[Example]) -> list[Example]:
    """Texts whose label is wrong, the highest confidence first."""
    wrong = [e for e in examples if e.label.right is False]
    return sorted(wrong, key=lambda e: -e.label.confidence)[:MAX_EXAMPLES]


def confidence_in_words(examples: Sequence[Example]) -> str:
    """The confidence of the labels of a list as the end of its heading; nothing for an empty list.

    It is called high if every label has a probability of `SURE` or more, and low if none reaches one half.
    """
    if not examples:
        return ""
    shares = [example.label.confidence for example in examples]
    low, high = f"{100 * min(shares):.0f}", f"{100 * max(shares):.0f}"
    numbers = f"{high} %" if low == high else f"{low} to {high} %"
    if min(shares) >= SURE:
        return f", with high confidence ({numbers})"
    if max(shares) < 0.5:
        return f", with low confidence ({numbers})"
    return f", with a confidence of {numbers}"


def frequent_confusions(examples: Sequence[Example]) -> list[Confusion]:
    """Kinds of wrong predictions of concepts, the most frequent first."""
    texts: Counter[tuple[str, str, str]] = Counter()
    surest: dict[tuple[str, str, str], tuple[float, Example]] = {}
    for example in examples:
        for concept in example.concepts:
            if concept.right is False:
                key = (concept.name, concept.gold, concept.state)
                texts[key] += 1
                if key not in surest or concept.confidence > surest[key][0]:
                    surest[key] = (concept.confidence, example)
    return [Confusion(*key, count, surest[key][1]) for key, count in texts.most_common(MAX_CONFUSIONS)]


def filter_choices(examples: Sequence[Example]) -> list[tuple[str, str, list[str]]]:
    """The name of each variable, its title and its states; an empty name means any concept."""
    if not examples:
        return []
    explanation = examples[0].explanation
    states = {name: list(concept.probabilities) for name, concept in explanation.concepts.items()}
    all_states = list(dict.fromkeys(state for by_concept in states.values() for state in by_concept))
    return [
        (LABEL, f"{explanation.label.name} (label)", list(explanation.label.probabilities)),
        ("", "any concept", all_states),
        *((name, name, by_concept) for name, by_concept in states.items()),
    ]


def _all_right(example: Example) -> bool:
    return bool(example.label.right) and all(concept.right is not False for concept in example.concepts)


def _prediction(name: str, explained: LabelExplanation | ConceptExplanation) -> ShownPrediction:
    return ShownPrediction(name, explained.state, explained.gold, explained.probabilities[explained.state])
