"""The published form of a prediction, as `Prediction.to_dict` gives it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from typing_extensions import TypeAliasType

from sparsecbm.model.prediction import Prediction


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


def _line(prediction: Prediction) -> PredictionLine:
    return PredictionLine.model_validate(prediction.to_dict())


# A prediction inside another published result. Pydantic 2.14 needs the alias to have a name: it builds no schema in
# which two fields share a serializer that returns a model.
PublishedPrediction = TypeAliasType(
    "PublishedPrediction", Annotated[Prediction, PlainSerializer(_line, return_type=PredictionLine)]
)
