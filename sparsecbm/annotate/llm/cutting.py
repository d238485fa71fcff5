"""Long texts, cut to what a prompt may hold."""

import re

MARK = " […]"
LETTERS_PER_WORD = 10  # a text without blanks is cut by letters
_WORD = re.compile(r"\S+")


def cut(text: str, max_words: int) -> str:
    """A text of at most so many words, with a mark where it was cut.

    >>> cut("one two three", 2)
    'one two […]'
    """
    end = min(len(text), max_words * LETTERS_PER_WORD)
    for number, word in enumerate(_WORD.finditer(text, 0, end)):
        if number == max_words:
            end = word.start()
            break
    return text if end == len(text) else text[:end].rstrip() + MARK
