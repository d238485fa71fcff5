"""The explanation of one text at all levels, label <- concepts <- subnetworks <- words, and its origin.

A text has one list of words, and all scores are in its order: `scores[i]` belongs to `words[i]`. The plain form is
published as `sparsecbm/schemas/explanation.schema.json`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter

from sparsecbm.base.rich import Rich
from sparsecbm.base.terminal_text import one_line
from sparsecbm.explain.methods import METHODS, AttributionOptions
from sparsecbm.explain.sufficient_parts import SufficientParts

DIGITS = 6  # decimals of numbers in the plain form; further ones are noise of float32
STRONGEST = 3  # words in the short text


@dataclass(frozen=True)
class Word:
    """A word and its position: `text[start:end]` of the explained text, in characters."""

    word: str
    start: int
    end: int


@dataclass(frozen=True)
class WordScores:
    """The effect of each word on one value.

    Attributes:
        scores: one for each word; above 0, the word speaks for the explained state
        special: one for each token of `Explanation.special`
        change: the value at the text minus the value without its words
        gap: completeness gap, the sum of `scores` and `special` minus `change`
        steps: number of gradients taken
    """

    scores: tuple[float, ...]
    special: tuple[float, ...]
    change: float
    gap: float
    steps: int

    def within(self, tolerance: float) -> bool:
        """Whether the gap is at most `tolerance` times the change (times 1 if the change is smaller)."""
        return abs(self.gap) <= tolerance * max(1.0, abs(self.change))


@dataclass(frozen=True)
class AblatedUnit:
    """A unit of a concept's subnetwork, and the prediction of the concept without it.

    Attributes:
        block, head: its numbers, from 0; no head for a whole block or its feed-forward part
        effect: logit of the explained state with the unit minus without it; above 0, the unit speaks for the state
        read: the predicted state without the unit
        probability: probability of the explained state without the unit
    """

    block: int
    head: int | None
    effect: float
    read: str
    probability: float


@dataclass(frozen=True)
class Subnetwork:
    """The effect of one concept's subnetwork in this text.

    Attributes:
        density: share of the masked layers' weights that it keeps; None if the model has no masks
        largest: block | head | ffn -> the units whose ablation changes the logit of the explained state most, the
            largest change first; if the model has no masks, units of the dense backbone
        note: why `largest` is empty, if it is
        sufficient: the smallest set of heads and neurons found that keeps the prediction; None if it was not searched
    """

    density: float | None
    largest: dict[str, tuple[AblatedUnit, ...]]
    note: str | None = None
    sufficient: SufficientParts | None = None


@dataclass(frozen=True)
class ConceptExplanation:
    """The prediction of one concept, its contribution to the label, and what led to the prediction.

    Attributes:
        state: the predicted state
        probabilities: state -> probability
        gold: the annotated state, if it is known
        explained: the state that words and units are scored for; by default the predicted one
        contributions: class of the label -> contribution to its logit
        contribution: contribution to the predicted class
        hard_contribution: the same for the hard activation, through the head `hard`; None without that head
        words: None if the explanation does not cover this concept
        subnetwork: None if the explanation does not cover this concept
    """

    state: str
    probabilities: dict[str, float]
    gold: str | None
    explained: str
    contributions: dict[str, float]
    contribution: float
    hard_contribution: float | None
    words: WordScores | None
    subnetwork: Subnetwork | None


@dataclass(frozen=True)
class HardLabel:
    """The label that the head `hard` predicts from the predicted states alone, without their probabilities."""

    state: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class LabelExplanation:
    """The predicted label; `start` and the contributions of all concepts add up to `end`.

    Attributes:
        name: of the label
        state: the predicted class
        probabilities: class -> probability
        gold: the true class, if it is known
        start: logit of the predicted class for the mean training text, centred over the classes
        end: the same for this text
        hard: None if the model has no head `hard`
        words: for the predicted class, through the bottleneck: sum_k sum_s V_k[y,s] * IG(c_k[s])
    """

    name: str
    state: str
    probabilities: dict[str, float]
    gold: str | None
    start: float
    end: float
    hard: HardLabel | None
    words: WordScores


@dataclass(frozen=True)
class Origin:
    """Model, data and method of an explanation, so that it can be computed again.

    Attributes:
        model: sha256 over the weights and masks in memory
        folder: sha256 of `checksums.json` in the model's folder, which lists all its files; None without a folder
        data: sha256 of the tables that the text comes from, as in their manifest; None without tables
        masked: whether each concept has a subnetwork of its own; otherwise everything goes through the dense backbone
        method: attribution method of the word scores
        parameters: options of the method
    """

    model: str
    folder: str | None
    data: str | None
    masked: bool
    method: str
    parameters: AttributionOptions


@dataclass(frozen=True)
class Explanation(Rich):
    """Why a model predicts its label for one text. `str` gives a short readable text.

    Attributes:
        text: the whole original text
        truncated: whether the model received only its beginning
        id, split: of its row, if it comes from a table
        words: the words that the model received, in order
        special: tokens that belong to no word
    """

    text: str
    truncated: bool
    id: str | None
    split: str | None
    words: tuple[Word, ...]
    special: tuple[str, ...]
    label: LabelExplanation
    concepts: dict[str, ConceptExplanation]
    origin: Origin

    def exceeds_tolerance(self, scores: WordScores) -> bool:
        """Whether the method is complete, but the gap of these scores is above its tolerance."""
        method = METHODS.get(self.origin.method)  # an old file may name a method that no longer exists
        return method is not None and method.complete and not scores.within(self.origin.parameters.tolerance)

    def __str__(self) -> str:
        """The label, each concept with its contribution to it, and the words with the largest scores for them."""
        label = self.label
        lines = [f"{label.name}: {label.state} ({label.probabilities[label.state]:.1%}){self._strongest(label.words)}"]
        for name, concept in self.concepts.items():
            state = f"{concept.state} ({concept.probabilities[concept.state]:.1%})"
            other = "" if concept.explained == concept.state else f"; for {concept.explained}"
            words = "" if concept.words is None else self._strongest(concept.words)
            lines.append(f"  {name}: {state}, contributes {concept.contribution:+.2f}{other}{words}")
        return "\n".join(map(one_line, lines))

    __repr__ = __str__  # in an interactive session, a page of fields would say less

    def _strongest(self, scores: WordScores) -> str:
        ranked = sorted(zip(self.words, scores.scores, strict=True), key=lambda pair: -abs(pair[1]))
        words = [f"{word.word} {score:+.2f}" for word, score in ranked[:STRONGEST]]
        return f"; words: {', '.join(words)}" if words else ""

    def to_dict(self) -> dict:
        """Plain form, as in `sparsecbm/schemas/explanation.schema.json`; numbers have six decimals."""
        return plain(asdict(self))

    def to_json(self, indent: int | None = None) -> str:
        """The plain form as JSON; concepts, states and classes keep their order. One line unless indented."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, plain: Mapping) -> "Explanation":
        """Inverse of `to_dict`.

        Raises:
            pydantic.ValidationError: the mapping does not have the published form.
        """
        return _FORM.validate_python(plain)


_FORM = TypeAdapter(Explanation)


def plain(value: object) -> object:
    """A value for JSON, its numbers with six decimals."""
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0  # no -0.0
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    return value
