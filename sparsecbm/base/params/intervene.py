"""The block `intervene` of `params.yaml`."""

from typing import Annotated

from pydantic import Field

from sparsecbm.base.params.section import Section

Bound = Annotated[float, Field(ge=-1, le=1)]


class Gates(Section):
    """Bounds of the verdict. [interventions.md](interventions.md) explains each figure."""

    concept_rise: Bound = Field(
        default=0.0, description="least rise of concept accuracy from one oracle edit to the next"
    )
    hard_label_gain: Bound = Field(
        default=0.0, description="least gain of label accuracy when hard concepts take their gold states"
    )
    repaired: Bound = Field(
        default=0.8,
        description="least share of texts with a wrong prediction that patches fix, within the limits on bits and harm",
    )
    harm: Bound = Field(default=0.01, description="largest share of correct predictions that patches harm")
    random_flips: Bound = Field(
        default=0.1, description="largest share of equally many random flips that reach the state"
    )
    restored: Bound = Field(
        default=1.0, description="least share of attempts after which every bit of the mask is as before"
    )


class Intervene(Section):
    """How interventions on the sparse model are tested, on the validation split."""

    texts: int = Field(default=6, ge=1, description="texts with a wrong prediction that get a patch, for each seed")
    seeds: int = Field(default=4, ge=1, description="seeds; each draws its own halves of the split and its own texts")
    max_flipped_share: float = Field(
        default=1e-4, gt=0, lt=1, description="largest share of a mask's bits that a patch may flip"
    )
    margin: float = Field(
        default=0.05, ge=0, description="how far the logit of the target state must exceed the others"
    )
    protect: int = Field(default=600, ge=1, description="correct predictions that a patch is trained to keep")
    training_texts: int = Field(
        default=400, ge=1, description="training texts that are protected, in addition to half of the validation split"
    )
    max_harm: float = Field(
        default=0.01, ge=0, le=1, description="largest share of correct predictions that a patch may harm"
    )
    neighbours: int = Field(
        default=10, ge=1, description="number of the most similar held-out texts whose side effects are reported"
    )
    bootstrap: int = Field(default=200, ge=100, description="resamples for each interval")
    thresholds: list[Annotated[float, Field(ge=-1, le=1)]] = Field(
        default=[0.7, 0.8, 0.9, 0.95, 0.98],
        min_length=1,
        description="smallest similarities at which a stored correction acts, for the curve of memory",
    )
    gates: Gates = Field(default=Gates(), description="bounds of the verdict")
