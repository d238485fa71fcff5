"""The one parameter of the registered model: a JSON string, read strictly; MLflow only warns of what it ignores."""

import json
from typing import Literal

from pydantic import Field, ValidationError

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.params.section import Section


class Options(Section):
    """How texts are to be read.

    Attributes:
        edits: concept -> the state that it is set to, or a probability for each of its states
        patches: ids of mask patches that the version carries, or their first characters
        explain: `short` adds what each concept contributed to the label, `full` the whole explanation
        top_k: only the most probable classes of the label, this many
    """

    edits: dict[str, str | dict[str, float]] = Field({})
    patches: tuple[str, ...] = ()
    explain: Literal["none", "short", "full"] = "none"
    top_k: int | None = Field(None, ge=1)


def parse_options(text: str) -> Options:
    """Read the JSON string.

    Raises:
        ConfigError: it is no JSON object, an option is unknown (names the nearest), or a value does not fit.
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
        raise ConfigError(f"`options` do not fit: {'; '.join(faults)}") from None
    if options.edits and options.explain == "full":
        raise ConfigError(
            "no words led to a concept that was set by `edits`; ask for explain `short`, or leave them out"
        )
    return options
