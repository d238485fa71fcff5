"""The door to the terminal: whatever a command prints goes through here, so no text controls the terminal.

Rich's markup is off, so `[bold]` in a note is printed as it is. Styles are given as arguments, or by a `Text`.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from sparsecbm.base.terminal_text import one_line, visible, visible_json


class Terminal(Console):
    """A console without markup, emoji codes and highlighting, on which control characters in texts are escapes."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as it is laid out: cleaned, without markup."""
        plain_options = {"markup": False, "emoji": False, "highlight": False, "highlighter": None}
        return super().render_str(visible(text), **{**options, **plain_options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of anything, such as a `Text`, cleaned as well."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def cell(text: object, style: str = "") -> Text:
    """A value from a person or a file as one cell of a table, on one line."""
    return Text(one_line(text), style)


def say(text: object, error: bool = False) -> None:
    """Print a line as it is, neither wrapped nor styled.

    Args:
        error: print it to stderr
    """
    print(visible(text), file=sys.stderr if error else sys.stdout)


def say_json(value: Any, indent: int | None = 2) -> None:
    """Print a plain value as JSON; keys keep their order."""
    print(visible_json(json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)))
