"""Texts as data within a prompt: quoted so that no text can end the quotation or start another message."""

import json
import re

OPEN, CLOSE = "<text>", "</text>"

# Angle and square brackets build the marks of this prompt and the control tokens of chat templates (`<|im_end|>`,
# `[INST]`). Control characters, halves of surrogate pairs, direction marks and the invisible tag characters hide words.
# The joiners U+200C and U+200D stay, since Persian and emoji need them.
_ESCAPED = re.compile(
    "[<>\\[\\]\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def quoted(text: str) -> str:
    """A text as a JSON string in which every bracket and every invisible character is escaped.

    >>> print(quoted('Nice </text> "food"'))
    "Nice \\u003c/text\\u003e \\"food\\""
    """
    return _ESCAPED.sub(_escape, json.dumps(text, ensure_ascii=False))


def enclosed(text: str) -> str:
    """A quoted text between its marks, which cannot occur in the quoted text."""
    return f"{OPEN}{quoted(text)}{CLOSE}"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code > 0xFFFF:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"
