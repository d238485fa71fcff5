"""Results whose JSON form is published: the schema in `schemas/` is derived from the class itself."""

from typing import Any

from pydantic import ConfigDict, TypeAdapter

# For `pydantic.dataclasses.dataclass(frozen=True, config=PUBLISHED)`: every key is there, and no other.
PUBLISHED = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


def published_form(result: object) -> Any:
    """Return the plain form of a published result, or of lists and dictionaries of them, as JSON holds it."""
    return _ANYTHING.dump_python(result, mode="json")
