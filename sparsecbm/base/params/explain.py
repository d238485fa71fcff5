"""The block `explain` of `params.yaml`."""

from typing import Literal

from pydantic import Field

from sparsecbm.base.params.section import Section


class Explain(Section):
    """Which texts the stage explains, and how."""

    texts: int = Field(ge=1)
    readings: int = Field(ge=1)
    method: Literal["integrated_gradients", "gradient_x_input", "leave_one_out", "attention_rollout", "random"]
    baseline: Literal["pad", "mask", "zero"]
    steps: int = Field(ge=1)
    tolerance: float = Field(gt=0)
    max_steps: int = Field(ge=1)
    units: list[Literal["block", "head", "ffn"]]
