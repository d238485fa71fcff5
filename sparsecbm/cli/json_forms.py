"""The JSON that `sparsecbm intervene`, `patch` and `memory` print; its schemas are in `sparsecbm/schemas/`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sparsecbm.cli.predictions import PredictionLine
from sparsecbm.intervene.patches.side_effects import Bill


class Form(BaseModel):
    """A printed object; it holds nothing besides."""

    model_config = ConfigDict(extra="forbid")


class EditForm(Form):
    """One text of `sparsecbm intervene --json`."""

    text: str
    set_to: dict[str, dict[str, float]] = Field(description="concept -> probability of each state")
    head: Literal["soft", "hard"]
    before: PredictionLine
    after: PredictionLine
    changed: list[str] = Field(description="concepts whose state is another now, and `label` if the label is")


class ReadingForm(Form):
    """What a concept reads in one text."""

    state: str
    probabilities: dict[str, float]


class ByLayerForm(Form):
    """Flipped bits of each layer."""

    dropped: dict[str, int]
    grown: dict[str, int]


class PatchForm(Form):
    """A patch without its positions: the output of `sparsecbm patch make --json` and `patch show --json`."""

    format: int
    id: str
    concept: str
    state: str
    texts: list[str] = Field(description="sha256 of each text that it was made for")
    weights: str = Field(description="checksum of the weights that it fits")
    mask: str = Field(description="checksum of the mask that it fits")
    size: int = Field(description="bits of that mask")
    before: list[ReadingForm]
    after: list[ReadingForm]
    made: dict[str, Any] = Field(description="how it was made")
    side_effects: Bill | None = Field(description="its bill; null if nobody asked for one")
    author: str
    note: str
    parent: str | None
    bits: int
    share: float = Field(ge=0, le=1, description="of the mask's bits")
    by_layer: ByLayerForm


class PatchRow(Form):
    """One file of `sparsecbm patch list --json`."""

    id: str
    file: str
    concept: str
    state: str
    texts: int
    bits: int
    parent: str | None
    author: str
    note: str


class WrittenForm(Form):
    """The model that `sparsecbm patch apply --json` and `patch revert --json` wrote."""

    model: str
    checksum: str
    masks: str = Field(description="checksum of all its masks")


class CorrectionForm(Form):
    """One correction that is kept: `sparsecbm memory add --json` and `memory list --json`."""

    id: str
    kind: Literal["edit", "patch"]
    concept: str
    state: str
    text: str = Field(description="sha256 of the corrected text")
    patch: str | None = Field(description="id of the patch, where it is one")
    author: str
    note: str


class OfferForm(Form):
    """The nearest correction of one concept."""

    likeness: float = Field(ge=-1.001, le=1.001, description="cosine of the two texts as the concept pools them")
    correction: CorrectionForm


class OffersForm(Form):
    """One text of `sparsecbm memory offer --json`."""

    text: str
    offers: dict[str, OfferForm]


class CorrectedForm(Form):
    """One text of `sparsecbm memory apply --json`."""

    before: PredictionLine
    after: PredictionLine
    acted: dict[str, OfferForm] = Field(description="concept -> the correction that acted on it")
