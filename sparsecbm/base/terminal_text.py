"""Text from people, made harmless for a terminal: nothing in it controls the terminal or hides from the reader.

Notes, names, states, reasons and texts come from files and records of others. An escape sequence in them could rewrite
the screen, and a bidirectional control could reorder a line. Both are shown as escapes, such as `\\x1b`.
"""

import re

_CONTROLS = "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f"  # C0 without tab and line feed, DEL, C1
_BIDIRECTIONAL = "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"
_INVISIBLE = "\\u200b\\u2028\\u2029\\u2060-\\u2064\\u206a-\\u206f\\ufeff\\ufff9-\\ufffb\\U000e0000-\\U000e007f"
_SURROGATES = "\\ud800-\\udfff"
_HOSTILE = re.compile(f"[{_CONTROLS}{_BIDIRECTIONAL}{_INVISIBLE}{_SURROGATES}]")
_HOSTILE_IN_JSON = re.compile(f"[\\x7f-\\x9f{_BIDIRECTIONAL}{_INVISIBLE}{_SURROGATES}]")


def visible(text: object) -> str:
    """The text of a value, with every control character as an escape. Line ends and tabs stay.

    >>> visible("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return _HOSTILE.sub(_escape, str(text))


def one_line(text: object) -> str:
    """As `visible`, with line ends and tabs as escapes, too: a cell of a table must not look like several rows."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def visible_json(text: str) -> str:
    """JSON in which the same characters are JSON escapes. It means the same value, and any encoding can hold it."""
    return _HOSTILE_IN_JSON.sub(_json_escape, text)


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[start : start + 2].hex()}" for start in range(0, len(units), 2))
