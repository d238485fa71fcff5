"""Names of metrics and parameters in MLflow."""

from collections.abc import Mapping
from typing import Any

from sparsecbm.base.flat import flat, numbers_with_keys

DEPTH = 5  # a number below more keys than this is not listed; a dot in the name of a concept is no further key
LAYERS = ("chosen", "layers")  # figures of each layer, whose names have dots
LONGEST = 250  # characters of a name that MLflow accepts


def grouped_numbers(group: str, nested: Mapping[str, Any], split: str = "") -> dict[str, float]:
    """The numbers of nested mappings as `GROUP/dotted.name`. MLflow's pages group metrics by the part before the slash.

    Live curves and the record of a run both take their names from here, so each curve has one name. Numbers that lie
    deeper than `DEPTH`, such as cells of matrices, are left out: they are many, and the run's artifacts hold them.

    Args:
        split: a further part of the group, for scores of a further split
    """
    prefix = f"{group}/{_split_name(split)}/" if split else f"{group}/"
    numbers = numbers_with_keys(nested, prefix, LONGEST)
    return {name: number for name, (number, keys) in numbers.items() if len(keys) <= DEPTH and keys[:2] != LAYERS}


def param_names(nested: Mapping[str, Any]) -> dict[str, object]:
    """Parameters under dotted names that MLflow accepts."""
    return flat(nested, longest=LONGEST)


def _split_name(split: str) -> str:
    """A split as a part of a group; it must not fill the whole name."""
    (name,) = flat({split: 0}, longest=LONGEST // 2)
    return name
