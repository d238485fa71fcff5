"""Checks of values that files of patches and corrections hold, since anybody may have written such a file."""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sparsecbm.base.errors import DataError, InterventionError
from sparsecbm.base.files import parse_json
from sparsecbm.base.params.section import describe_fault

MAX_DEPTH = 12  # of nested lists and objects; the forms themselves have four levels
SHA256 = re.compile(r"[0-9a-f]{64}")


def parse_record(text: str, path: Path) -> dict[str, Any]:
    """Parse a JSON object of plain values: no NaN, no halves of surrogate pairs, no deep nesting.

    Raises:
        InterventionError: it is something else; names the file.
    """
    try:
        plain = parse_json(text, path)
    except DataError as error:
        raise InterventionError(str(error)) from None
    if not isinstance(plain, dict):
        raise InterventionError(f"{path} holds no JSON object")
    level: list[Any] = [plain]
    for _ in range(MAX_DEPTH):
        level = [part for value in level for part in _parts(value, path)]
        if not level:
            return plain
    raise InterventionError(f"{path} is nested too deeply")


def check_sha256(values: Iterable[object], what: str, path: Path) -> None:
    """Check that all values are sha256 in hex.

    Raises:
        InterventionError: one is not; names the file.
    """
    for value in values:
        if not isinstance(value, str) or not SHA256.fullmatch(value):
            raise InterventionError(f"{path}: {what} must be 64 hexadecimal digits, not {str(value)[:80]!r}")


def explain_invalid(error: ValidationError) -> str:
    """Say what the first invalid value is, and what it should be."""
    fault = error.errors()[0]
    key = ".".join(str(part)[:60] for part in fault["loc"])
    if fault["type"] in ("missing", "missing_argument"):
        return f"{key} is missing"
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{key} is no known key"
    return describe_fault(fault, key)[:300]


def _parts(value: Any, path: Path) -> list[Any]:
    """The values inside a value; those that are plain are checked."""
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, list):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise InterventionError(f"{path} holds {value}, which is no number")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise InterventionError(f"{path} holds half of a surrogate pair, which is no text")
    return []
