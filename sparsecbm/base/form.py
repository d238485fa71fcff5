"""The base class of everything that a stage or command writes as JSON."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Form(BaseModel):
    """A frozen part of a JSON file. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain form, as JSON holds it."""
        return self.model_dump()
