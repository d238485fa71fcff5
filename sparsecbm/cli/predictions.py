"""The output of `sparsecbm predict`: one JSON line for each text."""

import json
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from sparsecbm.api import SparseCBM

CHUNK = 512  # texts that are predicted before the first of them is printed


class ConceptLine(BaseModel):
    """What the model predicts for one concept."""

    model_config = ConfigDict(extra="forbid")
    state: str
    confidence: float = Field(ge=0, le=1)
    probabilities: dict[str, float]


class PredictionLine(BaseModel):
    """One line of `sparsecbm predict`."""

    model_config = ConfigDict(extra="forbid")
    text: str
    label: str
    confidence: float = Field(ge=0, le=1, description="probability of the label")
    probabilities: dict[str, float] = Field(description="of each label class")
    concepts: dict[str, ConceptLine] = Field(description="empty for a model without a bottleneck")


def prediction_lines(model: SparseCBM, texts: list[str]) -> Iterator[str]:
    """One JSON line for each text, in order; `sparsecbm/schemas/predict.schema.json` describes it."""
    for start in range(0, len(texts), CHUNK):
        for prediction in model.predict(texts[start : start + CHUNK]):
            yield json.dumps(prediction.to_dict(), ensure_ascii=False)
