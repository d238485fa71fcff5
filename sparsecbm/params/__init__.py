"""The typed form of `params.yaml`, a module a block; `whole` reads and checks the file."""

from sparsecbm.params.data import Annotate, Split, Validate
from sparsecbm.params.finetune import Finetune
from sparsecbm.params.prune import Prune
from sparsecbm.params.record import Evaluate
from sparsecbm.params.source import CebabSource, HubSource, ImdbSource, Mapping, RestaurantsSource, Source, TableSource
from sparsecbm.params.whole import Params, load_params, other_source, parse_params, read_yaml

__all__ = [
    "Annotate",
    "CebabSource",
    "Evaluate",
    "Finetune",
    "HubSource",
    "ImdbSource",
    "Mapping",
    "Params",
    "Prune",
    "RestaurantsSource",
    "Source",
    "Split",
    "TableSource",
    "Validate",
    "load_params",
    "other_source",
    "parse_params",
    "read_yaml",
]
