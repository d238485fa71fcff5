"""Nested mappings as one mapping with dotted names."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

HASH = 10  # hexadecimal digits of a hash in a name
PART = 40  # characters of a part of a name that is too long

Keys = tuple[str, ...]  # the keys from the root to a leaf


def flat(nested: Mapping[str, Any], prefix: str = "", longest: int | None = None) -> dict[str, object]:
    """Leaves of nested mappings under dotted names. Different leaves have different names.

    Names keep letters, digits, `_`, `-`, `.` and spaces; every other character becomes an underscore. So every name is
    one that MLflow accepts, and none holds a slash. A key whose name would be that of another key ends in a hash: of
    `a/b` and `a_b`, the first one is `a_b-c14cddc033`.

    Args:
        longest: of a name in characters; long parts of a longer name are cut and end in a hash
    """
    return _named(nested, prefix, longest)[0]


def flat_numbers(nested: Mapping[str, Any], prefix: str = "", longest: int | None = None) -> dict[str, float]:
    """The numbers of nested mappings under dotted names. Lists, texts and truth values are left out.

    >>> flat_numbers({"label": {"accuracy": 0.5, "accuracy_interval": [0.4, 0.6]}, "split": "test"})
    {'label.accuracy': 0.5}
    """
    return {name: number for name, (number, _) in numbers_with_keys(nested, prefix, longest).items()}


def numbers_with_keys(
    nested: Mapping[str, Any], prefix: str = "", longest: int | None = None
) -> dict[str, tuple[float, Keys]]:
    """The same numbers, each with its keys from the root to the leaf."""
    leaves, keys = _named(nested, prefix, longest)
    return {
        name: (float(value), keys[name])
        for name, value in leaves.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _clean(key: str) -> str:
    """A key with an underscore for each character that names must not hold."""
    return re.sub(r"[^\w\-. ]", "_", key)


def _named(nested: Mapping[str, Any], prefix: str, longest: int | None) -> tuple[dict[str, object], dict[str, Keys]]:
    """The leaves, and the keys of each, by name."""
    paths = list(_paths(nested, ()))
    same: defaultdict[str, set[str]] = defaultdict(set)  # cleaned key -> keys
    for keys, _ in paths:
        for key in keys:
            same[_clean(key)].add(key)
    leaves, leaf_keys = {}, {}
    for keys, value in paths:
        parts = [_part(key, len(same[_clean(key)]) > 1) for key in keys]
        name = prefix + ".".join(parts)
        if longest is not None and len(name) > longest:
            name = prefix + ".".join(map(_short, keys, parts))
        if name in leaves:  # `b.c` in `a`, and `c` in `a.b`
            name = f"{name}-{_hash(json.dumps(keys))}"
        if longest is not None and len(name) > longest:
            name = f"{name[: longest - HASH - 1]}-{_hash(prefix + json.dumps(keys))}"
        leaves[name], leaf_keys[name] = value, keys
    return leaves, leaf_keys


def _part(key: str, ambiguous: bool) -> str:
    """A key as a part of a name. MLflow takes names as paths, so none may begin with two dots."""
    clean = _clean(key)
    if clean.startswith("..") or not key.strip("."):
        return f"{clean.replace('.', '_')}-{_hash(key)}"
    return f"{clean}-{_hash(key)}" if ambiguous and clean != key else clean


def _short(key: str, part: str) -> str:
    return part if len(part) <= PART else f"{part[: PART - HASH - 1]}-{_hash(key)}"


def _paths(nested: Mapping[str, Any], above: Keys) -> Iterator[tuple[Keys, object]]:
    for key, value in nested.items():
        keys = (*above, str(key))
        if isinstance(value, dict):
            yield from _paths(value, keys)
        else:
            yield keys, value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH]
