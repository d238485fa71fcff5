"""The base class of the blocks of `params.yaml`, and the kinds of numbers in them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A block of `params.yaml`. It is immutable, and unknown keys are errors.

    The descriptions of its fields are the tables of docs/configuration.md (see `document`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
