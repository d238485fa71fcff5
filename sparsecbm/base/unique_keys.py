"""Objects of JSON whose keys occur once: of a repeated key, it would not be clear which value counts."""

from collections.abc import Iterable
from typing import Any


class RepeatedKeyError(ValueError):
    """An object names a key twice. The message says which key and where, without the name of the file."""


def object_of(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The object that some keys and values make; for `object_pairs_hook` of `json`.

    Raises:
        RepeatedKeyError: a key occurs twice.
    """
    value: dict[str, Any] = {}
    for number, (key, item) in enumerate(pairs, start=1):
        if key in value:
            first = list(value).index(key) + 1
            raise RepeatedKeyError(
                f"names the key {key[:60]!r} twice, as entries {first} and {number} of its object; "
                "remove or rename one of them"
            )
        value[key] = item
    return value
