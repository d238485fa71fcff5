"""Text from people in Markdown: no HTML, no link, no image and no new row comes out of it."""

import re

from sparsecbm.base.terminal_text import one_line

_SPECIAL = re.compile(r"[\\`*\[\]|]")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PLAIN = re.compile(r"[^\\`*\[\]|&<>]+")


def markdown(text: object) -> str:
    """A text that Markdown shows as it is, on one line.

    >>> markdown("<b>a|b</b>")
    '&lt;b&gt;a\\\\|b&lt;/b&gt;'
    """
    escaped = "".join(_HTML.get(character, character) for character in one_line(text))
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", escaped)


def markdown_code(text: object) -> str:
    """A name as code. One with characters that Markdown or HTML interprets is shown as ordinary text."""
    name = one_line(text)
    return f"`{name}`" if _PLAIN.fullmatch(name) else markdown(text)
