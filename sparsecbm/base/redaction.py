"""Hide secrets in what is printed, logged and recorded."""

import os
import re

HIDDEN = "***"
_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_NAMES = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|API_KEY|ACCESS_KEY|WEBHOOK", re.IGNORECASE)
_SHORTEST = 6  # a shorter value occurs by chance in ordinary texts


def redacted(text: str) -> str:
    """A text in which secrets are hidden: users and passwords in addresses, and values of environment variables.

    A variable counts as secret if its name says so, as `AWS_SECRET_ACCESS_KEY` does.

    >>> redacted("cannot reach https://ann:pass@example.org/mlflow")
    'cannot reach https://***@example.org/mlflow'
    """
    text = _IN_ADDRESS.sub(HIDDEN, text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _NAMES.search(name):
            text = text.replace(value, HIDDEN)
    return text
