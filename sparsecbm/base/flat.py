"""Nested mappings as one mapping with dotted names."""

import re
from collections.abc import Mapping
from typing import Any


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Leaves of nested mappings under dotted names.

    Names keep letters, digits, `_`, `-`, `.` and spaces; every other character becomes an underscore. So every name is
    one that MLflow accepts, and none holds a slash.
    """
    leaves: dict[str, object] = {}
    for key, value in nested.items():
        name = prefix + re.sub(r"[^\w\-. ]", "_", str(key))
        if isinstance(value, dict):
            leaves.update(flat(value, f"{name}."))
        else:
            leaves[name] = value
    return leaves


def flat_numbers(nested: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of nested mappings under dotted names. Lists, texts and truth values are left out.

    >>> flat_numbers({"label": {"accuracy": 0.5, "accuracy_interval": [0.4, 0.6]}, "split": "test"})
    {'label.accuracy': 0.5}
    """
    numbers = {}
    for name, value in flat(nested, prefix).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers[name] = float(value)
    return numbers
