"""Texts that go into the promotion history: who, why. They must fit a tag of any registry, and be printable."""

import getpass
import os
import unicodedata

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.redaction import redacted

# A tag of a registered model holds 5000 characters in PostgreSQL and MySQL; quotes take two of them in an entry.
REASON_LENGTH = 2000
NAME_LENGTH = 100


def user_name() -> str:
    """Name of the user, or the numeric id in a container that knows no name for it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        name = ""
    return recordable(name, NAME_LENGTH) or f"uid {os.getuid()}"


def recordable(text: str, length: int = REASON_LENGTH) -> str:
    """A text without secrets, control characters and halves of surrogate pairs, cut to a length."""
    clean = "".join(map(_printable, redacted(text))).strip()
    return clean if len(clean) <= length else f"{clean[: length - 1]}…"


def check_reason(reason: str) -> str:
    """The reason that a person gave, without blanks around it.

    Raises:
        ConfigError: it is longer than the history keeps.
    """
    reason = reason.strip()
    if len(reason) > REASON_LENGTH:
        raise ConfigError(f"--reason has {len(reason)} characters; the history keeps {REASON_LENGTH}, so shorten it")
    return reason


def _printable(character: str) -> str:
    if character in "\n\r\t":
        return " "
    return "\ufffd" if unicodedata.category(character) in ("Cc", "Cs") else character
