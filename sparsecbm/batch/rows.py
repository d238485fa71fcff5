"""The rows of an input: each is a text to predict, or a failure with its reason."""

import math
import re
from typing import NamedTuple

from sparsecbm.data.formats.json_rows import SURROGATE

MAX_CHARACTERS = 100_000
SHOWN = 1_000  # characters of a failing row that the quarantine keeps
# What Python's `surrogateescape` makes of a byte that is not UTF-8.
_ESCAPED = re.compile("[\udc80-\udcff]")


class Row(NamedTuple):
    """One row.

    Attributes:
        file: where it is from, relative to the input
        number: of the row in its file, from 1
        id: its own name, from a column; None without one
        text: the text; of a failing row what it holds, as far as it can be shown
        reason: why it cannot be predicted; None for a text
    """

    file: str
    number: int
    id: str | None
    text: str
    reason: str | None = None


def decode(cell: bytes) -> str:
    """Characters of UTF-8 bytes; each byte that is none becomes a character that `make_row` refuses."""
    return cell.decode("utf-8", "surrogateescape")


def make_row(file: str, number: int, identity: object, value: object) -> Row:
    """A row of a cell: a text, or a failure if the cell holds no text that can be predicted."""
    reason = _fault(value)
    text = value if reason is None else _shown(value)[:SHOWN]
    return Row(file, number, None if _missing(identity) else _shown(identity), text, reason)


def failing_row(file: str, number: int, content: str, reason: str) -> Row:
    """A row whose cells cannot be told apart."""
    return Row(file, number, None, _shown(content)[:SHOWN], reason)


def _fault(value: object) -> str | None:
    if _missing(value):
        return "the text is missing"
    if not isinstance(value, str):
        return f"the cell holds a {type(value).__name__}, not text"
    escaped = _ESCAPED.search(value)
    if escaped:
        return f"byte 0x{ord(escaped[0]) - 0xDC00:02X} at character {escaped.start() + 1} is not UTF-8"
    if not value.strip():
        return "the text is empty"
    if len(value) > MAX_CHARACTERS:
        return f"the text has {len(value):,} characters, more than {MAX_CHARACTERS:,}"
    return None


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _shown(value: object) -> str:
    if _missing(value):
        return ""
    return SURROGATE.sub("\ufffd", value if isinstance(value, str) else str(value))
