"""An explanation as HTML: a page of its own, or a fragment for notebooks and other pages.

`card.html.jinja` holds the macros `card` and `style`. Another page can import them: it adds `LOADER` to its loaders
and `FILTERS` to its filters. Everything from a text is escaped, and the page fetches nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from sparsecbm.base import rich
from sparsecbm.explain.explanation import ConceptExplanation, Explanation, Word, WordScores
from sparsecbm.explain.sufficient_parts import SufficientPart, SufficientParts

LEVELS = 5  # shades of a word
NAMED = 3  # words for and against that are named below a text
MAX_OPEN = 8  # concepts whose words are shown at once; of more, the rest is folded
MAX_STATES = 8  # probabilities of one concept
MAX_PARTS = 6  # heads and neurons of one concept that are shown at once; of more, the rest is folded
SHOWN_UNREAD = 400  # characters beyond the part that the model reads
LOADER = PackageLoader("sparsecbm", "display")


@dataclass(frozen=True)
class Segment:
    """A stretch of a text.

    Attributes:
        score: of a word; None between words, and for words without scores
        level: size of the score against the largest one, 0 to `LEVELS`, with the sign of the score
    """

    text: str
    score: float | None = None
    level: int = 0


def segments(explanation: Explanation, scores: WordScores | None) -> list[Segment]:
    """The part of the text that the model reads, word by word; the segments join to that part."""
    values = [None] * len(explanation.words) if scores is None else list(scores.scores)
    largest = max((abs(value) for value in values if value is not None), default=0.0) or 1.0
    text, parts, end = explanation.text, [], 0
    for word, value in zip(explanation.words, values, strict=True):
        parts.append(Segment(text[end : word.start]))
        parts.append(Segment(text[word.start : word.end], value, round(LEVELS * (value or 0) / largest)))
        end = word.end
    if not explanation.truncated:
        parts.append(Segment(text[end:]))
    return [part for part in parts if part.text]


def unread(explanation: Explanation) -> str:
    """The beginning of the part that the model does not read; empty if it reads the whole text."""
    if not explanation.truncated:
        return ""
    rest = explanation.text[explanation.words[-1].end if explanation.words else 0 :]
    hidden = len(rest) - SHOWN_UNREAD
    return rest if hidden <= 0 else f"{rest[:SHOWN_UNREAD]}… ({hidden:,} more characters)"


def strongest(explanation: Explanation, scores: WordScores, sign: int) -> list[tuple[str, float]]:
    """The words with the largest scores for (sign 1) or against (-1) the explained state, with these scores."""
    pairs: list[tuple[Word, float]] = list(zip(explanation.words, scores.scores, strict=True))
    largest = sorted((pair for pair in pairs if pair[1] * sign > 0), key=lambda pair: -abs(pair[1]))[:NAMED]
    return [(word.word, value) for word, value in largest]


def outside_words(explanation: Explanation, scores: WordScores) -> list[tuple[str, float]]:
    """The special tokens whose score does not round to 0, with these scores."""
    pairs = zip(explanation.special, scores.special, strict=True)
    return [(token, value) for token, value in pairs if round(value, 2)]


def by_contribution(explanation: Explanation) -> list[tuple[str, ConceptExplanation, float]]:
    """Each concept with its name and the length of its bar, 0 to 1; the largest contribution comes first."""
    largest = max(abs(concept.contribution) for concept in explanation.concepts.values()) or 1.0
    order = sorted(explanation.concepts.items(), key=lambda item: -abs(item[1].contribution))
    return [(name, concept, abs(concept.contribution) / largest) for name, concept in order]


def explained_concepts(explanation: Explanation) -> tuple[list[tuple[str, ConceptExplanation]], ...]:
    """The concepts with scores of words that a card shows, and those that it folds, in their order."""
    explained = {name: concept for name, concept in explanation.concepts.items() if concept.words is not None}
    largest = sorted(explained, key=lambda name: -abs(explained[name].contribution))[:MAX_OPEN]
    shown = [(name, concept) for name, concept in explained.items() if name in largest]
    return shown, [(name, concept) for name, concept in explained.items() if name not in largest]


def ranked_parts(sufficient: SufficientParts) -> tuple[list[tuple[SufficientPart, float]], ...]:
    """The parts that a card shows, and those that it folds, each with the length of its bar, 0 to 1."""
    largest = max((abs(part.effect) for part in sufficient.parts), default=0.0) or 1.0
    ranked = [(part, abs(part.effect) / largest) for part in sufficient.parts]
    return ranked[:MAX_PARTS], ranked[MAX_PARTS:]


def likely(probabilities: Mapping[str, float]) -> list[tuple[str, float]]:
    """The states with the largest probabilities, at most `MAX_STATES`, in their order."""
    largest = sorted(probabilities, key=lambda state: -probabilities[state])[:MAX_STATES]
    return [(state, probability) for state, probability in probabilities.items() if state in largest]


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, a true minus."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


FILTERS = {
    "segments": segments,
    "unread": unread,
    "strongest": strongest,
    "by_contribution": by_contribution,
    "explained_concepts": explained_concepts,
    "ranked_parts": ranked_parts,
    "likely": likely,
    "signed": signed,
    "outside_words": outside_words,
    "share": lambda value, digits=0: f"{value:.{digits}%}",
}


def page(explanations: Sequence[Explanation]) -> str:
    """A whole page with a card for each explanation; a function of these alone, to the byte."""
    return environment().get_template("page.html.jinja").render(explanations=explanations)


@rich.fragment.register
def fragment(explanation: Explanation) -> str:
    """The card with its style, as a part of a page, such as a notebook."""
    macros = environment().get_template("card.html.jinja").module
    return f"<div>{macros.style()}{macros.card(explanation)}</div>"


@rich.page.register
def _page(explanation: Explanation) -> str:
    return page([explanation])


def environment() -> Environment:
    """Templates of this package, with automatic escapes and the filters of cards."""
    environment = Environment(
        loader=LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(FILTERS)
    return environment
