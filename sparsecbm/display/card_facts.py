"""What a model card says beside the model itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sparsecbm.base.params.card import Card

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class CardFacts:
    """Figures that stages measured, and what the owner states. What is missing is said to be unknown.

    Attributes:
        metrics: stage -> content of its metrics file
        manifest: of the annotated splits
        card: the block `card` of the parameters
        backbone: what training started from, as the parameters name it
        data_set: name of the data on a hub; empty for data from elsewhere
        words: whether parts of subnetworks are described by words of texts
        address: what loads the model
    """

    metrics: Mapping[str, Metrics] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    card: Card = field(default_factory=Card)
    backbone: str = ""
    data_set: str = ""
    words: bool = True
    address: str = "path/of/this/folder"

    def measured(self, stage: str, *keys: str) -> Any:
        """A part of a stage's figures; None if the stage did not measure it."""
        value: Any = self.metrics.get(stage)
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value or None


NOTHING_MEASURED = CardFacts()
