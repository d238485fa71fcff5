"""The block `explain` of `params.yaml`."""

from typing import Literal

from pydantic import Field

from sparsecbm.base.params.section import Section


class Explain(Section):
    """Which texts the stage `explain` explains, and how. See [explanations.md](explanations.md)."""

    texts: int = Field(
        default=16,
        ge=1,
        description="texts of the test split, drawn by the seed, whose words are scored; they take most of the time",
    )
    readings: int = Field(
        default=150, ge=1, description="texts for the calibration and the mean contributions of concepts"
    )
    part_texts: int = Field(
        default=32, ge=2, description="texts behind the effects of heads and neurons of the subnetworks"
    )
    method: Literal["integrated_gradients", "mid_path_gradients", "leave_one_out", "attention_rollout", "random"] = (
        Field(default="integrated_gradients", description="how words are scored")
    )
    baseline: Literal["pad", "mask", "zero"] = Field(
        default="pad", description="what replaces a removed word: the embedding of `pad` or `mask`, or zero"
    )
    steps: int = Field(default=8, ge=1, description="gradients in each part of the path from the baseline to the text")
    tolerance: float = Field(
        default=0.1,
        gt=0,
        description="largest completeness gap, relative to the change of the value (or to 1, if that is more)",
    )
    max_steps: int = Field(
        default=512,
        ge=1,
        description="maximum number of gradients for a text and concept; a card says if its gap is then too large",
    )
    units: list[Literal["block", "head", "ffn", "sufficient"]] = Field(
        default=["block", "head", "ffn"],
        description="parts of the subnetworks that are ablated; none if empty. `sufficient` searches the smallest set "
        "of heads and neurons that keeps each prediction; some seconds a text",
    )
