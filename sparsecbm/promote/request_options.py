"""The only parameter of the registered model: a JSON string, parsed strictly, since MLflow ignores unknown keys."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, Strict, ValidationError
from pydantic_core import ErrorDetails

from sparsecbm.base.errors import ConfigError, DataError, unknown
from sparsecbm.base.files import parse_json
from sparsecbm.base.params.section import Section, describe_fault

MIN_ID = 4  # characters that name a patch
MAX_PATCHES = 32
PATCH_SUFFIXES = (".patch", ".safetensors")
FULL_OF_EDITS = "`explain: full` cannot explain concepts that `edits` set; use `explain: short` or no edits"

Patch = TypeVar("Patch")
Probability = Annotated[float, Strict()]  # `true` and "0.5" are no numbers


class Options(Section):
    """Options of one request.

    Attributes:
        edits: concept -> the state that replaces the predicted one, or a probability for each state
        patches: ids, or their first characters, of mask patches that the version carries
        explain: `short` adds the contribution of each concept to the label, `full` the whole explanation
        top_k: number of most probable label classes in the answer
    """

    edits: dict[str, str | dict[str, Probability]] = Field({})
    patches: tuple[str, ...] = Field((), max_length=MAX_PATCHES)
    explain: Literal["none", "short", "full"] = "none"
    top_k: Annotated[int, Strict()] | None = Field(None, ge=1)


def parse_options(text: str) -> Options:
    """Parse the JSON string.

    Raises:
        ConfigError: the text is not a JSON object, an option is unknown, or a value is invalid.
    """
    try:
        plain = parse_json(text or "{}", "`options`")
    except DataError as error:
        raise ConfigError(str(error)) from None
    if not isinstance(plain, dict):
        raise ConfigError(f"`options` must be a JSON object, not {text[:80]}")
    for name in plain:
        if name not in Options.model_fields:
            raise ConfigError(unknown("option", name, Options.model_fields))
    try:
        options = Options.model_validate(plain)
    except ValidationError as error:
        faults = list(dict.fromkeys(_describe(fault, plain) for fault in error.errors()))
        raise ConfigError(f"`options` are invalid: {'; '.join(faults[:5])}") from None
    check_patch_ids(options.patches)
    if options.edits and options.explain == "full":
        raise ConfigError(FULL_OF_EDITS)
    return options


def check_patch_ids(prefixes: Sequence[str]) -> None:
    """Check the ids of patches, or their first characters.

    Raises:
        ConfigError: one is too short to name a patch.
    """
    if any(len(prefix) < MIN_ID for prefix in prefixes):
        raise ConfigError(f"`options` are invalid: patches: give at least the first {MIN_ID} characters of an id")


def patch_files(folder: Path) -> list[Path]:
    """The files of patches below a folder, sorted; none if it does not exist."""
    return sorted(file for file in folder.rglob("*") if file.suffix in PATCH_SUFFIXES)


def select_patches(patches: Mapping[str, Patch], prefixes: Sequence[str]) -> list[Patch]:
    """The patches whose ids begin with the prefixes.

    Args:
        patches: id -> patch, all that a version carries

    Raises:
        ConfigError: a prefix names no patch, or several.
    """
    selected = []
    for prefix in prefixes:
        matches = [patch for identity, patch in patches.items() if identity.startswith(prefix)]
        if len(matches) != 1:
            raise ConfigError(unknown("patch", prefix, patches or ["this version carries none"]))
        selected += matches
    return selected


def _describe(fault: ErrorDetails, plain: dict[str, Any]) -> str:
    """A wrong option in words."""
    option, *rest = map(str, fault["loc"])
    if option == "edits" and rest:
        value = str(plain["edits"][rest[0]])[:60]
        return f"edits.{rest[0][:60]} must be a state, or a probability for each state, not {value}"
    if fault["type"] == "too_long":
        return f"{option}: at most {MAX_PATCHES} are allowed"
    return describe_fault(fault, ".".join([option, *rest]))[:200]
