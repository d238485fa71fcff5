"""The block `faithfulness` of `params.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from sparsecbm.base.params.section import Section

Method = Literal["integrated_gradients", "mid_path_gradients", "leave_one_out", "attention_rollout", "random"]
Operator = Literal["delete", "mask", "replace"]
Share = Annotated[float, Field(gt=0, le=1)]


class Faithfulness(Section):
    """How explanations are tested against the model. Time grows in proportion to every number.

    See [metrics.md](metrics.md).
    """

    methods: list[Method] = Field(
        default=["integrated_gradients", "mid_path_gradients", "leave_one_out", "random"],
        min_length=1,
        description="attribution methods that are measured",
    )
    texts: int = Field(default=8, ge=1, description="texts whose words are removed")
    operators: list[Operator] = Field(
        default=["delete", "mask", "replace"],
        min_length=1,
        description="what replaces a removed word: nothing, the mask token, or a word of another text",
    )
    shares: list[Share] = Field(
        default=[0.05, 0.1, 0.2, 0.5], min_length=1, description="shares of a text's words that are removed"
    )
    random_draws: int = Field(
        default=3, ge=1, description="random attributions of each text that every method is compared with"
    )
    infidelity_samples: int = Field(
        default=10, ge=2, description="random parts of a text's words that are removed for the infidelity"
    )
    sensitivity_texts: int = Field(default=2, ge=1, description="texts whose embeddings are moved")
    sensitivity_samples: int = Field(default=3, ge=1, description="random moves of the embeddings of each text")
    sanity_methods: list[Method] = Field(
        default=["integrated_gradients"], description="methods that are computed again on randomised models"
    )
    sanity_texts: int = Field(default=3, ge=1, description="texts for these randomised models")
    edits: int = Field(default=12, ge=1, description="counterfactual pairs whose edited words must rank high")
