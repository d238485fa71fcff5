"""The typed form of `params.yaml`, one module for each block. `params` reads and checks the file."""

from sparsecbm.base.params.annotate import Annotate
from sparsecbm.base.params.data import Split, Validate
from sparsecbm.base.params.evaluate import Evaluate
from sparsecbm.base.params.finetune import Finetune, LabelNoise, Lora
from sparsecbm.base.params.params import (
    Params,
    load_params,
    load_run_params,
    other_source,
    parse_params,
    plain_params,
    write_params,
)
from sparsecbm.base.params.prune import Prune
from sparsecbm.base.params.source import (
    CebabSource,
    HubSource,
    ImdbSource,
    Mapping,
    RestaurantsSource,
    Source,
    TableFormat,
    TableSource,
)
from sparsecbm.base.yaml_reader import read_yaml

__all__ = [
    "Annotate",
    "CebabSource",
    "Evaluate",
    "Finetune",
    "HubSource",
    "ImdbSource",
    "LabelNoise",
    "Lora",
    "Mapping",
    "Params",
    "Prune",
    "RestaurantsSource",
    "Source",
    "Split",
    "TableFormat",
    "TableSource",
    "Validate",
    "load_params",
    "load_run_params",
    "other_source",
    "parse_params",
    "plain_params",
    "read_yaml",
    "write_params",
]
