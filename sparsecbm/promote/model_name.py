"""The name of the registered model: models of different data do not compete."""

import re
from pathlib import PurePath

from sparsecbm.base.params import Params

LONGEST = 60  # characters that come from the data


def model_name(params: Params) -> str:
    """`promote.model`, or a name that follows from the source of the data."""
    if params.promote.model is not None:
        return params.promote.model
    source = params.source
    if source.name == "restaurants":
        return "sparsecbm"
    data = source.name
    if source.name == "table":
        data = PurePath(source.path).stem
    elif source.name == "hub":
        data = source.dataset
    clean = re.sub(r"[^\w\-.]", "_", data)[:LONGEST]
    return f"sparsecbm-{clean}"
