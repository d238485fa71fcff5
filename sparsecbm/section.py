"""A block of `params.yaml`."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A block of `params.yaml`: immutable, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
