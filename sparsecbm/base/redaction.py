"""Hide secrets in what is printed, logged and recorded."""

import os
import re
from urllib.parse import unquote

from sparsecbm.base.addresses import user_info

HIDDEN = "***"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]{0,30}://"  # bounded, or a long word would take the square of its length
_ADDRESS = re.compile(_SCHEME + r"\S+")
_BEGINS = re.compile(_SCHEME)
_NAMES = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|API_KEY|ACCESS_KEY|WEBHOOK", re.IGNORECASE)
_SECRET = r"[\w.\-%]*(?:token|passw|pwd|secret|key|sig|credential|auth|odbc_connect)[\w.\-%]*"
_IN_QUERY = re.compile(rf"([?&;#]{_SECRET}=)[^&\s]+", re.IGNORECASE)
_IN_DSN = re.compile(r"(\b(?:password|passwd|pwd)=)[^&\s]+", re.IGNORECASE)
_SHORTEST = 6  # a shorter value occurs by chance in ordinary texts


def redacted(text: str) -> str:
    """A text in which secrets are hidden: users and passwords in addresses, tokens and passwords in their queries, and
    values of environment variables.

    A variable counts as secret if its name says so, as `AWS_SECRET_ACCESS_KEY` does. If its value is an address with a
    user, the user and the password are secret.

    >>> redacted("cannot reach https://ann:pass@example.org/mlflow?token=abc")
    'cannot reach https://***@example.org/mlflow?token=***'
    """
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _NAMES.search(name):
            text = text.replace(value, HIDDEN)
        elif _BEGINS.match(value):  # here a password may even hold blanks
            text = _without_user(text, value)
    text = _ADDRESS.sub(lambda match: _without_user(match[0], match[0]), text)
    return _IN_DSN.sub(rf"\1{HIDDEN}", _IN_QUERY.sub(rf"\1{HIDDEN}", text))


def _without_user(text: str, address: str) -> str:
    """A text without the user and the password of an address."""
    secret = user_info(address)
    if not secret:
        return text
    text = text.replace(f"{secret}@", f"{HIDDEN}@")
    password = secret.partition(":")[2]
    for part in (password, unquote(password)):
        if len(part) >= _SHORTEST:
            text = text.replace(part, HIDDEN)
    return text
