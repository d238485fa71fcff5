"""The block `card` of `params.yaml`."""

from typing import Annotated

from pydantic import Field

from sparsecbm.base.params.section import Section, matching

Language = Annotated[str, matching("[a-z]{2,3}", "a code of two or three small letters, such as en")]


class Card(Section):
    """What the model card and the data card say that no stage can measure."""

    licence: str | None = Field(
        default=None, description="licence of the model, as hubs spell it, such as `apache-2.0`; null: unstated"
    )
    languages: tuple[Language, ...] = Field(default=(), description="languages of the texts, such as `en`")
    intended_use: str = Field(default="", description="what the model is for, in a sentence or two")
    out_of_scope: str = Field(default="", description="what it must not be used for")
