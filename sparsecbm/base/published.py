"""Results whose JSON form is published: the schema in `schemas/` is derived from the class itself."""

from typing import Any

from pydantic import ConfigDict
from pydantic_core import to_jsonable_python

# For `pydantic.dataclasses.dataclass(frozen=True, config=PUBLISHED)`: every key is there, and no other.
PUBLISHED = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


def published_form(result: object) -> Any:
    """Return the plain form of a published result, or of lists and dictionaries of them, as JSON holds it."""
    return to_jsonable_python(result)
