"""Text classifiers that explain themselves: concept bottlenecks over per-concept subnetworks."""

from typing import TYPE_CHECKING, Any

from sparsecbm.concepts import Concept, ConceptSet
from sparsecbm.errors import ConfigError, DataError, ModelError, SparseCBMError

if TYPE_CHECKING:
    from sparsecbm.model.cbm import Prediction, Reading, Settings, SparseCBM

__all__ = [
    "Concept",
    "ConceptSet",
    "ConfigError",
    "DataError",
    "ModelError",
    "Prediction",
    "Reading",
    "Settings",
    "SparseCBM",
    "SparseCBMError",
]


def __getattr__(name: str) -> Any:
    """Load torch only when a model is asked for, so that the command line starts at once."""
    if name in {"SparseCBM", "Settings", "Prediction", "Reading"}:
        from sparsecbm.model import cbm

        return getattr(cbm, name)
    raise AttributeError(f"module 'sparsecbm' has no attribute {name!r}")
