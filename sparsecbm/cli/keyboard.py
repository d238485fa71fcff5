"""Single keys from a terminal; from a pipe or a file, each character that is no blank is a key."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_ESCAPE = re.compile(r"\x1b(\[[0-9;]*.|O.)?|\s", re.DOTALL)  # what arrows and function keys send, and blanks


@contextmanager
def pressed_keys() -> Iterator[Iterator[str]]:
    """Yield an iterator over the keys as they are pressed, until the input ends.

    Arrows and other keys that send an escape sequence do not count. Keys are not shown on the terminal meanwhile.
    """
    if not sys.stdin.isatty():
        yield _piped_keys()
        return
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield _typed_keys(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _typed_keys(terminal: int) -> Iterator[str]:
    while typed := os.read(terminal, 1024).decode("utf-8", "replace"):
        if typed == "\x04":  # Ctrl-D ends the input
            return
        yield from _ESCAPE.sub("", typed)


def _piped_keys() -> Iterator[str]:
    while character := sys.stdin.read(1):
        if not character.isspace():
            yield character
