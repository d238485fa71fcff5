"""What differs between two readings: states, probabilities, and the words that count."""

from dataclasses import dataclass
from difflib import SequenceMatcher

from sparsecbm.display.card import segments
from sparsecbm.explain.explanation import Explanation, WordScores
from sparsecbm.workbench.reading import Reading

NAMED = 3  # words whose scores differ most
LEAST = 0.1  # smallest difference of scores that is named, against the largest score


@dataclass(frozen=True)
class StateShown:
    """A state with its probability."""

    state: str
    probability: float


@dataclass(frozen=True)
class VariableRow:
    """The label or one concept in both readings; None where a model does not know it."""

    name: str
    left: StateShown | None
    right: StateShown | None

    @property
    def differs(self) -> bool:
        """Whether the states differ."""
        return self.left is None or self.right is None or self.left.state != self.right.state


@dataclass(frozen=True)
class Piece:
    """A stretch of a text.

    Attributes:
        level: as of a `Segment`
        only_here: whether it is a word that the other text lacks
    """

    text: str
    score: float | None
    level: int
    only_here: bool


@dataclass(frozen=True)
class ScoreChange:
    """A word of both texts whose scores differ."""

    word: str
    left: float
    right: float


@dataclass(frozen=True)
class WordView:
    """The words of both texts, for the label or for one concept.

    Attributes:
        titles: what the words speak for or against on each side; empty where a model does not know it
        changes: the words of both texts whose scores differ most
    """

    name: str
    titles: tuple[str, str]
    left: tuple[Piece, ...]
    right: tuple[Piece, ...]
    changes: tuple[ScoreChange, ...]


def compare_readings(left: Reading, right: Reading) -> list[VariableRow]:
    """The label, then each concept that one of both models knows."""
    states = [
        {concept.name: StateShown(concept.state, concept.probabilities[concept.state]) for concept in reading.concepts}
        for reading in (left, right)
    ]
    rows = [
        VariableRow(left.label, StateShown(left.state, left.confidence), StateShown(right.state, right.confidence)),
    ]
    return rows + [VariableRow(name, states[0].get(name), states[1].get(name)) for name in {**states[0], **states[1]}]


def compare_words(left: Explanation, right: Explanation) -> list[WordView]:
    """The words for the label, then for each concept that one of both models knows."""
    blocks = SequenceMatcher(
        None, [word.word for word in left.words], [word.word for word in right.words], autojunk=False
    ).get_matching_blocks()
    pairs = [(block.a + step, block.b + step) for block in blocks for step in range(block.size)]
    titles = (f"{left.label.name} {left.label.state}", f"{right.label.name} {right.label.state}")
    views = [_view("label", titles, (left, right), (left.label.words, right.label.words), pairs)]
    for name in {**left.concepts, **right.concepts}:
        concepts = left.concepts.get(name), right.concepts.get(name)
        titles = tuple("" if each is None else f"{name} {each.explained}" for each in concepts)
        scores = tuple(None if each is None else each.words for each in concepts)
        views.append(_view(name, titles, (left, right), scores, pairs))
    return views


def _view(
    name: str,
    titles: tuple[str, ...],
    explanations: tuple[Explanation, Explanation],
    scores: tuple[WordScores | None, ...],
    pairs: list[tuple[int, int]],
) -> WordView:
    shared = {left for left, _ in pairs}, {right for _, right in pairs}
    sides = [_pieces(*each) for each in zip(explanations, scores, shared, strict=True)]
    return WordView(name, (titles[0], titles[1]), sides[0], sides[1], _changes(explanations[0], scores, pairs))


def _pieces(explanation: Explanation, scores: WordScores | None, shared: set[int]) -> tuple[Piece, ...]:
    starts = {word.start: number for number, word in enumerate(explanation.words)}
    pieces, at = [], 0
    for segment in segments(explanation, scores):
        number = starts.get(at)
        pieces.append(
            Piece(segment.text, segment.score, segment.level, only_here=number is not None and number not in shared)
        )
        at += len(segment.text)
    return tuple(pieces)


def _changes(
    explanation: Explanation, scores: tuple[WordScores | None, ...], pairs: list[tuple[int, int]]
) -> tuple[ScoreChange, ...]:
    left, right = scores
    if left is None or right is None:
        return ()
    least = LEAST * max((abs(score) for side in (left, right) for score in side.scores), default=0.0)
    changes = [
        ScoreChange(explanation.words[a].word, left.scores[a], right.scores[b])
        for a, b in pairs
        if abs(right.scores[b] - left.scores[a]) > least
    ]
    return tuple(sorted(changes, key=lambda change: -abs(change.right - change.left))[:NAMED])
