"""One text explained at all levels: label <- concepts <- subnetworks <- words, with what it was computed by.

Words are found once for a text, and all scores are in their order: `scores[i]` belongs to `words[i]`. The plain form is
published as `sparsecbm/schemas/explanation.schema.json`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter

from sparsecbm.base.rich import Rich
from sparsecbm.explain.attribution import Options

COMPLETE = ("integrated_gradients",)  # methods whose scores add up to the change, but for what quadrature misses
DIGITS = 6  # of the numbers in the plain form: below that is only noise of float32


@dataclass(frozen=True)
class Word:
    """A word and its place: `text[start:end]` of the explained text, in characters."""

    word: str
    start: int
    end: int


@dataclass(frozen=True)
class WordScores:
    """What each word did to one value.

    Attributes:
        scores: one a word; above 0, the word speaks for the explained state
        special: one a token of `Explanation.special`
        change: the value at the text less the value without its words
        gap: completeness gap, the sum of `scores` and `special` less `change`
        steps: gradients that were taken
    """

    scores: tuple[float, ...]
    special: tuple[float, ...]
    change: float
    gap: float
    steps: int

    def within(self, tolerance: float) -> bool:
        """Whether the gap is at most `tolerance` times the change, or times 1 where the change is smaller."""
        return abs(self.gap) <= tolerance * max(1.0, abs(self.change))


@dataclass(frozen=True)
class AblatedUnit:
    """A unit of a concept's subnetwork, and how the concept reads without it.

    Attributes:
        block, head: its place, numbers from 0; no head for a whole block or its feed-forward part
        effect: logit of the explained state with the unit less without it; above 0, the unit speaks for the state
        read: the state that is read without it
        probability: of the explained state without it
    """

    block: int
    head: int | None
    effect: float
    read: str
    probability: float


@dataclass(frozen=True)
class Subnetwork:
    """What one concept's subnetwork did in this text.

    Attributes:
        density: share of the weights under masks that it keeps; None where the model has no masks
        largest: block | head | ffn -> the units that change the logit of the explained state most when they are
            ablated, the largest change first; without masks, units of the dense backbone
        note: why `largest` is empty, where it is
    """

    density: float | None
    largest: dict[str, tuple[AblatedUnit, ...]]
    note: str | None = None


@dataclass(frozen=True)
class ConceptExplanation:
    """How one concept was read, what it did to the label, and what made it be read so.

    Attributes:
        state: the state that was read
        probabilities: state -> probability
        gold: the annotated state, where it is known
        explained: the state that words and units are scored for; the one that was read, unless another was asked for
        contributions: class of the label -> contribution to its logit
        contribution: the one to the predicted class
        hard_contribution: the same through `hard_head`, of the bare state; None where the model has no such head
        words: None where another concept was asked for
        subnetwork: None where another concept, or no subnetwork, was asked for
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
    """The label as `hard_head` makes it of the bare states that were read, without their probabilities."""

    state: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class LabelExplanation:
    """What the label is, and how the concepts made it: `start` and all contributions add up to `end`.

    Attributes:
        name: of the label
        state: the class that was predicted
        probabilities: class -> probability
        gold: the true class, where it is known
        start: logit of the predicted class for the mean training text, centred over the classes
        end: the same for this text
        hard: None where the model has no head for bare states
        words: for the predicted class, along the bottleneck: sum_k sum_s V_k[y,s] * IG(c_k[s])
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
    """What an explanation was computed by, so that it can be computed again.

    Attributes:
        model: sha256 over the weights and masks in memory
        folder: sha256 of `checksums.json` in the model's folder, which lists all of its files; None without a folder
        data: sha256 of the tables that the text came from, as their manifest states it; None without tables
        masked: whether each concept was read through a subnetwork of its own; else all is explained densely
        method: of the words' scores
        parameters: of the method
    """

    model: str
    folder: str | None
    data: str | None
    masked: bool
    method: str
    parameters: Options


@dataclass(frozen=True)
class Explanation(Rich):
    """Why one text got its label.

    Attributes:
        text: the whole original
        truncated: whether the model read only its beginning
        id, split: of its row, where it came from a table
        words: those that the model read, in order
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

    def rough(self, scores: WordScores) -> bool:
        """Whether scores are of a method that should be complete, and their gap is above its tolerance."""
        return self.origin.method in COMPLETE and not scores.within(self.origin.parameters.tolerance)

    def to_dict(self) -> dict:
        """Plain form, as `sparsecbm/schemas/explanation.schema.json` describes it; numbers have six decimals."""
        return plain(asdict(self))

    def to_json(self, indent: int | None = None) -> str:
        """The plain form as JSON; concepts, states and classes keep their order. One line unless indented."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, plain: Mapping) -> "Explanation":
        """Inverse of `to_dict`.

        Raises:
            pydantic.ValidationError: the mapping has not the published form.
        """
        return _FORM.validate_python(plain)


_FORM = TypeAdapter(Explanation)


def plain(value: object) -> object:
    """A value as JSON holds it, its numbers with six decimals."""
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0  # no -0.0
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    return value
