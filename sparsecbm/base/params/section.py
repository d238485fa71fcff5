"""The base class of the blocks of `params.yaml`, the kinds of values in them, and the messages about wrong values."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails, PydanticCustomError

from sparsecbm.base.yaml_reader import describe_plain, plain_text

Share = Annotated[float, Field(ge=0, lt=1)]

# Type of pydantic's error -> what a value must be.
REQUIREMENTS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "int_parsing_size": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "literal_error": "{expected}",
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "above {gt:g}",
    "less_than_equal": "at most {le:g}",
    "less_than": "below {lt:g}",
    "too_short": "a list of at least {min_length}",
}


class Section(BaseModel):
    """A block of `params.yaml`. It is immutable, and unknown keys are errors.

    The descriptions of its fields are the tables of docs/configuration.md (see `document`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def matching(pattern: str, form: str) -> AfterValidator:
    """A check that a whole text matches a regular expression; `form` describes it in messages."""

    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise PydanticCustomError("form", "must be {form}", {"form": form})
        return value

    return AfterValidator(check)


def describe_fault(fault: ErrorDetails, key: str) -> str:
    """A wrong value in words: the key, what is allowed, and the value.

    Args:
        key: dotted; empty if the fault is about several keys of a block, which the message then names
    """
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":
        return f"{key}: {context['error']}" if key else str(context["error"])
    requirement = REQUIREMENTS.get(fault["type"])
    message = fault["msg"] if requirement is None else f"must be {requirement.format(**context)}"
    value = fault["input"]
    if fault["type"] == "string_type" and not isinstance(value, dict | list | tuple | None):
        return f'{key}: {message}, not {describe_plain(value)}; quote it as it is spelt, as in "{plain_text(value)}"'
    return f"{key}: {message}, not {plain_text(value)}"
