"""Keeps secrets out of what is printed, logged and recorded."""

import os
import re

HIDDEN = "***"
_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_NAMES = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|API_KEY|ACCESS_KEY|WEBHOOK", re.IGNORECASE)
_SHORTEST = 6  # a shorter value would blot out half of any text


def redacted(text: str) -> str:
    """A text without user and password in addresses, and without values of environment variables named like secrets.

    >>> redacted("cannot reach https://ann:pass@example.org/mlflow")
    'cannot reach https://***@example.org/mlflow'
    """
    text = _IN_ADDRESS.sub(HIDDEN, text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _NAMES.search(name):
            text = text.replace(value, HIDDEN)
    return text
