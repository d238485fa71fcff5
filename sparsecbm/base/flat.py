"""Nested figures and parameters as flat, dotted names, the only form that MLflow knows."""

import re

DEPTH = 5  # names in the path of a figure that a list of metrics can bear


def flat_numbers(nested: dict, prefix: str = "") -> dict[str, float]:
    """All numbers of nested mappings under dotted names; lists, texts and truth values are left out.

    >>> flat_numbers({"label": {"accuracy": 0.5, "accuracy_interval": [0.4, 0.6]}, "split": "test"})
    {'label.accuracy': 0.5}
    """
    numbers = {}
    for name, value in flat(nested, prefix).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers[name] = float(value)
    return numbers


def grouped_numbers(group: str, nested: dict) -> dict[str, float]:
    """The same as `GROUP/dotted.name`: MLflow's pages put metrics together by what stands before the last slash.

    Live curves and the record both name their metrics here, so that one curve has one name. Figures that lie deeper
    than `DEPTH`, such as cells of matrices, are left out: they are many, and `metrics/` is among a run's artifacts.
    """
    return {name: value for name, value in flat_numbers(nested, f"{group}/").items() if name.count(".") < DEPTH}


def flat(nested: dict, prefix: str = "") -> dict[str, object]:
    """Leaves of nested mappings under dotted names; characters that MLflow refuses, and `/`, become underscores."""
    leaves: dict[str, object] = {}
    for key, value in nested.items():
        name = prefix + re.sub(r"[^\w\-. ]", "_", str(key))
        if isinstance(value, dict):
            leaves.update(flat(value, f"{name}."))
        else:
            leaves[name] = value
    return leaves
