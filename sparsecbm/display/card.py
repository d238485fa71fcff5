"""An explanation as HTML: a page of its own, or a fragment for notebooks and other pages.

`card.html.jinja` holds the macros `card` and `style`. Another page can take them in: it adds `LOADER` to its loaders
and `FILTERS` to its filters. Everything from a text is escaped, and nothing is fetched.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from sparsecbm.base import rich
from sparsecbm.explain.explanation import ConceptExplanation, Explanation, Word, WordScores

LEVELS = 5  # shades of a word
NAMED = 3  # words of each kind that are named below a text
SHOWN_UNREAD = 400  # characters of what the model did not read
LOADER = PackageLoader("sparsecbm", "display")


@dataclass(frozen=True)
class Segment:
    """A stretch of a text.

    Attributes:
        score: of a word; None between words, and of what has no scores
        level: 0 to `LEVELS`, the size of the score against the largest one; the sign is that of the score
    """

    text: str
    score: float | None = None
    level: int = 0


def segments(found: Explanation, scores: WordScores | None) -> list[Segment]:
    """The text as far as the model read it, word by word; joined up again they are that text."""
    values = [None] * len(found.words) if scores is None else list(scores.scores)
    largest = max((abs(value) for value in values if value is not None), default=0.0) or 1.0
    parts, done = [], 0
    for word, value in zip(found.words, values, strict=True):
        parts.append(Segment(found.text[done : word.start]))
        parts.append(Segment(found.text[word.start : word.end], value, round(LEVELS * (value or 0) / largest)))
        done = word.end
    if not found.truncated:
        parts.append(Segment(found.text[done:]))
    return [part for part in parts if part.text]


def unread(found: Explanation) -> str:
    """The beginning of what the model did not read of the text; empty if it read the whole."""
    if not found.truncated:
        return ""
    rest = found.text[found.words[-1].end if found.words else 0 :]
    hidden = len(rest) - SHOWN_UNREAD
    return rest if hidden <= 0 else f"{rest[:SHOWN_UNREAD]}… ({hidden:,} more characters)"


def strongest(found: Explanation, scores: WordScores, sign: int) -> list[tuple[str, float]]:
    """The words that speak most for (sign 1) or against (-1) what is explained, with their scores."""
    pairs: list[tuple[Word, float]] = list(zip(found.words, scores.scores, strict=True))
    chosen = sorted((pair for pair in pairs if pair[1] * sign > 0), key=lambda pair: -abs(pair[1]))[:NAMED]
    return [(word.word, value) for word, value in chosen]


def by_contribution(found: Explanation) -> list[tuple[str, ConceptExplanation, float]]:
    """Concepts with their names, and the length of each bar in 0 to 1; the largest contribution first."""
    largest = max(abs(concept.contribution) for concept in found.concepts.values()) or 1.0
    order = sorted(found.concepts.items(), key=lambda item: -abs(item[1].contribution))
    return [(name, concept, abs(concept.contribution) / largest) for name, concept in order]


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, a true minus."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


FILTERS = {
    "segments": segments,
    "unread": unread,
    "strongest": strongest,
    "by_contribution": by_contribution,
    "signed": signed,
    "share": lambda value, digits=0: f"{value:.{digits}%}",
}


def page(found: Sequence[Explanation]) -> str:
    """A whole page with the cards of explanations; a function of these alone, to the byte."""
    return _environment().get_template("page.html.jinja").render(explanations=found)


@rich.fragment.register
def fragment(found: Explanation) -> str:
    """The card with its style, to be put into a page, such as a notebook."""
    macros = _environment().get_template("card.html.jinja").module
    return f"<div>{macros.style()}{macros.card(found)}</div>"


@rich.page.register
def _page(found: Explanation) -> str:
    return page([found])


def _environment() -> Environment:
    environment = Environment(
        loader=LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(FILTERS)
    return environment
