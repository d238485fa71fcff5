"""The bodies of requests and answers; `examples` has an example of each. Unknown fields are errors."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from sparsecbm.base.params.section import Section
from sparsecbm.explain.methods import DEFAULT_METHOD
from sparsecbm.intervene.edits import Edit
from sparsecbm.promote.request_limits import is_unicode
from sparsecbm.promote.request_options import MAX_PATCHES, Options, Probability
from sparsecbm.serve.snapshot import ModelVersion


def _check_unicode(value: str) -> str:
    if not is_unicode(value):
        raise ValueError("the text holds half of a surrogate pair, which is no character")
    return value


Text = Annotated[str, AfterValidator(_check_unicode)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1, description="texts to answer, in the order of the answers")]
Patches = Annotated[
    tuple[Text, ...], Field(max_length=MAX_PATCHES, description="ids, or their first characters, of patches in force")
]
Settings = dict[Text, Text | dict[Text, Probability]]


class PredictRequest(Section):
    """Texts to predict, and the same options as for MLflow's server."""

    texts: Texts
    options: Options = Options()


class ExplainRequest(Section):
    """Texts to explain."""

    texts: Texts
    concepts: Annotated[
        tuple[Text, ...] | None, Field(description="concepts whose words and subnetworks are explained; null for all")
    ] = None
    states: dict[Text, Text] = Field({}, description="concept -> the state to explain; by default the predicted one")
    method: Annotated[Text, Field(description="attribution method of the words")] = DEFAULT_METHOD
    parts: Annotated[
        bool, Field(description="search the fewest heads and neurons that keep each prediction; some seconds a text")
    ] = False
    patches: Patches = ()


class InterveneRequest(Section):
    """Texts, and concepts to set in all of them."""

    texts: Texts
    set: Annotated[Settings, Field(description="concept -> state, or probability of each state")]
    head: Literal["soft", "hard"] = "soft"
    patches: Patches = ()


class CorrectionRequest(Section):
    """What a person says of a text: what its concepts and its label should be."""

    text: Text
    concepts: dict[Text, Text] = Field({})
    label: Text | None = None
    author: Annotated[Text, Field(min_length=1, max_length=100)]
    reason: Annotated[Text, Field(min_length=1, max_length=2000)]
    version: Annotated[
        Text | None, Field(max_length=100, description="that gave the corrected answer; by default the one that serves")
    ] = None


class PredictedConcept(BaseModel):
    """What the model predicts for a concept."""

    state: str
    confidence: float
    probabilities: dict[str, float]


class PredictedText(BaseModel):
    """What the model predicts for a text."""

    label: str
    confidence: float
    probabilities: dict[str, float]
    concepts: dict[str, PredictedConcept]
    explanation: Annotated[dict[str, Any] | None, Field(description="only on request")] = None


class PredictAnswer(BaseModel):
    """A prediction for each text, and the version that gave them."""

    model: ModelVersion
    predictions: list[PredictedText]


class ExplainAnswer(BaseModel):
    """An explanation of each text, as `sparsecbm explain --json` gives it, and the version that gave them."""

    model: ModelVersion
    explanations: list[dict[str, Any]]


class InterveneAnswer(BaseModel):
    """Each text before and after the intervention, and the version that predicted it."""

    model: ModelVersion
    edits: list[Edit]


class CorrectionAnswer(BaseModel):
    """A correction that was kept as a proposal. Nothing applies it."""

    id: str
    at: datetime
    version: str


class Status(BaseModel):
    """Whether the service can answer, and which version does."""

    status: Literal["ok", "ready", "stalled"]
    model: ModelVersion | None = None


class Fault(BaseModel):
    """Why a request was not answered."""

    error: str
    request_id: str
