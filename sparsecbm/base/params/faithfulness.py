"""The block `faithfulness` of `params.yaml`: how much is measured of whether explanations are true of the model."""

from typing import Annotated, Literal

from pydantic import Field

from sparsecbm.base.params.section import Section

Method = Literal["integrated_gradients", "gradient_x_input", "leave_one_out", "attention_rollout", "random"]
Operator = Literal["delete", "mask", "replace"]
Share = Annotated[float, Field(gt=0, le=1)]


class Faithfulness(Section):
    """Sizes of the measurements; each has the time it takes in proportion."""

    methods: list[Method] = Field(min_length=1)
    texts: int = Field(ge=1)
    operators: list[Operator] = Field(min_length=1)
    shares: list[Share] = Field(min_length=1)
    random_draws: int = Field(ge=1)
    infidelity_samples: int = Field(ge=2)
    sensitivity_texts: int = Field(ge=1)
    sensitivity_samples: int = Field(ge=1)
    sanity_methods: list[Method]
    sanity_texts: int = Field(ge=1)
    edits: int = Field(ge=1)
