"""Text classifiers that explain themselves: concept bottlenecks over per-concept subnetworks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import ConfigError, DataError, ModelError, SparseCBMError

if TYPE_CHECKING:
    from sparsecbm.api import FitOptions, PatchSettings, SparseCBM, TrainOptions, fit, prune
    from sparsecbm.batch.run import BatchOptions, BatchSummary, predict_batch
    from sparsecbm.explain.explanation import Explanation
    from sparsecbm.export.runner import ExportedModel
    from sparsecbm.model.cbm import Settings
    from sparsecbm.model.masks import MaskSet
    from sparsecbm.model.prediction import Prediction, StatePrediction
    from sparsecbm.model.shared_mask import SharedMask

__all__ = [
    "BatchOptions",
    "BatchSummary",
    "Concept",
    "ConceptSet",
    "ConfigError",
    "DataError",
    "Explanation",
    "ExportedModel",
    "FitOptions",
    "MaskSet",
    "ModelError",
    "PatchSettings",
    "Prediction",
    "Settings",
    "SharedMask",
    "SparseCBM",
    "SparseCBMError",
    "StatePrediction",
    "TrainOptions",
    "fit",
    "predict_batch",
    "prune",
]

_MODULES = {
    "BatchOptions": "sparsecbm.batch.run",
    "BatchSummary": "sparsecbm.batch.run",
    "Explanation": "sparsecbm.explain.explanation",
    "ExportedModel": "sparsecbm.export.runner",
    "MaskSet": "sparsecbm.model.masks",
    "Prediction": "sparsecbm.model.prediction",
    "StatePrediction": "sparsecbm.model.prediction",
    "Settings": "sparsecbm.model.cbm",
    "SharedMask": "sparsecbm.model.shared_mask",
    "SparseCBM": "sparsecbm.api",
    "FitOptions": "sparsecbm.api",
    "PatchSettings": "sparsecbm.api",
    "TrainOptions": "sparsecbm.api",
    "fit": "sparsecbm.api",
    "predict_batch": "sparsecbm.batch.run",
    "prune": "sparsecbm.api",
}


def __getattr__(name: str) -> Any:
    """Import torch only when a model class is used, and the metadata only for the version: `--help` needs neither."""
    if name == "__version__":
        return import_module("importlib.metadata").version("sparsecbm")
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'sparsecbm' has no attribute {name!r}")
