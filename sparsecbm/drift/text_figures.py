"""What texts look like without any model: their words, their length, their language."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from sparsecbm.data.text_quality import language, script

_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, eq=False)
class TextFigures:
    """Figures of texts.

    Attributes:
        words: [texts], number of words
        unknown_words: [texts], share of the words that the vocabulary lacks
        languages: of each text, a language or, where the text has too few function words, a script
    """

    words: np.ndarray
    unknown_words: np.ndarray
    languages: tuple[str, ...]


def words_of(text: str) -> list[str]:
    """The words of a text: runs of letters, in small letters."""
    return _WORD.findall(text.casefold())


def collect_vocabulary(texts: Sequence[str]) -> frozenset[str]:
    """Every word of the texts."""
    return frozenset(word for text in texts for word in words_of(text))


def describe_texts(texts: Sequence[str], vocabulary: Collection[str]) -> TextFigures:
    """Figures of each text.

    Args:
        vocabulary: words that are known
    """
    words = [words_of(text) for text in texts]
    counts = np.array([len(each) for each in words])
    unknown = np.array([sum(word not in vocabulary for word in each) for each in words])
    languages = tuple(language(text) or f"unclear, {script(text) or 'no letters'}" for text in texts)
    return TextFigures(counts, unknown / np.maximum(counts, 1), languages)
