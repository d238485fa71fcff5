"""Names of metrics in MLflow."""

from collections.abc import Mapping
from typing import Any

from sparsecbm.base.flat import flat_numbers

DEPTH = 5  # a metric whose name has more parts than this is not listed


def grouped_numbers(group: str, nested: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of nested mappings as `GROUP/dotted.name`. MLflow's pages group metrics by the part before the slash.

    Live curves and the record of a run both take their names from here, so each curve has one name. Numbers that lie
    deeper than `DEPTH`, such as cells of matrices, are left out: they are many, and the run's artifacts hold them.
    """
    return {name: value for name, value in flat_numbers(nested, f"{group}/").items() if name.count(".") < DEPTH}
