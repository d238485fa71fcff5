"""Fields of a form that a page sends: URL-encoded, each name once."""

import hashlib
import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from fastapi import Request

from sparsecbm.base.errors import ConfigError

FORM = "form"  # field with a number that each form of a page has for itself
SETTING, PREDICTED = "set.", "read."  # before the name of a concept
MOST_FIELDS = 1000


async def read_form(request: Request) -> dict[str, str]:
    """Read the fields of a request.

    Raises:
        ConfigError: the body is no form.
    """
    try:
        pairs = parse_qsl(
            (await request.body()).decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise ConfigError("the body is no form in UTF-8; send it from the page") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ConfigError("a field is given twice; reload the page")
    # Browsers send line ends of a text as CR LF; the texts of tables have LF.
    return {name: value.replace("\r\n", "\n") for name, value in fields.items()}


def settings_of(fields: Mapping[str, str]) -> dict[str, str]:
    """The concepts that a form sets to another state than the predicted one: concept -> state."""
    chosen = {name.removeprefix(SETTING): state for name, state in fields.items() if name.startswith(SETTING) and state}
    return {name: state for name, state in chosen.items() if state != fields.get(PREDICTED + name)}


def identity_of(fields: Mapping[str, str]) -> str | None:
    """32 hexadecimal digits that a form has again if it is sent twice; None if it does not tell which form it is."""
    if not fields.get(FORM):
        return None
    return hashlib.sha256(json.dumps(dict(fields), sort_keys=True).encode()).hexdigest()[:32]
