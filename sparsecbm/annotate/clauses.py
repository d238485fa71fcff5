"""Texts as clauses: the parts that each speak of one thing, such as one of two concepts in a sentence."""

import re
from collections.abc import Sequence

import numpy as np

# A clause ends behind a mark that ends a sentence, at a semicolon or line break, and before a word such as "but".
_ENDS = re.compile(
    r"(?<=[.!?;…])\s+|(?<=[。！？；])|\n+|,\s+(?=(?:but|and)\s)|\s+(?=(?:but|though|although|however)\s)", re.IGNORECASE
)


def split_clauses(text: str) -> list[str]:
    """The clauses of a text in order; the text itself if there is only one. No clause is blank.

    >>> split_clauses("The food was good, but the waiter was rude. Loud!")
    ['The food was good', 'but the waiter was rude.', 'Loud!']
    """
    clauses = [part.strip() for part in _ENDS.split(text)]
    return [clause for clause in clauses if any(map(str.isalnum, clause))] or [text]


def split_texts(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The clauses of all texts in order, and the index of the text that each is from, [clauses]."""
    by_text = [split_clauses(text) for text in texts]
    owners = np.repeat(np.arange(len(by_text)), [len(clauses) for clauses in by_text])
    return [clause for clauses in by_text for clause in clauses], owners
