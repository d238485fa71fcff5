"""The only parameter of the registered model: a JSON string, parsed strictly, since MLflow ignores unknown keys."""

import json
from typing import Literal

from pydantic import Field, ValidationError

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.params.section import Section


class Options(Section):
    """Options of one request.

    Attributes:
        edits: concept -> the state that replaces the predicted one, or a probability for each state
        patches: ids, or their first characters, of mask patches that the version carries
        explain: `short` adds the contribution of each concept to the label, `full` the whole explanation
        top_k: number of most probable label classes in the answer
    """

    edits: dict[str, str | dict[str, float]] = Field({})
    patches: tuple[str, ...] = ()
    explain: Literal["none", "short", "full"] = "none"
    top_k: int | None = Field(None, ge=1)


def parse_options(text: str) -> Options:
    """Parse the JSON string.

    Raises:
        ConfigError: the text is not a JSON object, an option is unknown, or a value is invalid.
    """
    try:
        plain = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise ConfigError(f"`options` must be a JSON object: {error}") from None
    if not isinstance(plain, dict):
        raise ConfigError(f"`options` must be a JSON object, not {text[:80]}")
    for name in plain:
        if name not in Options.model_fields:
            raise ConfigError(unknown("option", name, Options.model_fields))
    try:
        options = Options.model_validate(plain)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise ConfigError(f"`options` are invalid: {'; '.join(faults)}") from None
    if options.edits and options.explain == "full":
        raise ConfigError("`explain: full` cannot explain concepts that `edits` set; use `explain: short` or no edits")
    return options
