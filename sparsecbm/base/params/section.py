"""A block of `params.yaml`, and the kinds of numbers in it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A block of `params.yaml`: immutable, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
