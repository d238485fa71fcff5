"""The block `intervene` of `params.yaml`: how interventions are tested, and the bounds that a model must meet."""

from typing import Annotated

from pydantic import Field

from sparsecbm.base.params.section import Section

Bound = Annotated[float, Field(ge=-1, le=1)]


class Gates(Section):
    """Bounds of the verdict; `sparsecbm.intervene.experiments.verdict.GATES` says what each figure is."""

    concept_rise: Bound
    hard_label_gain: Bound
    repaired: Bound
    harm: Bound
    random_flips: Bound
    restored: Bound


class Intervene(Section):
    """Settings of the stage."""

    texts: int = Field(ge=1)
    seeds: int = Field(ge=1)
    max_flipped_share: float = Field(gt=0, lt=1)
    margin: float = Field(ge=0)
    protect: int = Field(ge=1)
    training_texts: int = Field(ge=1)
    max_harm: float = Field(ge=0, le=1)
    neighbours: int = Field(ge=1)
    bootstrap: int = Field(ge=100)
    thresholds: list[Annotated[float, Field(ge=-1, le=1)]] = Field(min_length=1)
    gates: Gates
