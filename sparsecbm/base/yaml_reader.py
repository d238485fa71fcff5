"""YAML as DVC reads it (version 1.2), for every file and value that this project takes: `yes` and `1:30` are texts.

Anchors, tags and several documents are refused: a configuration is written out, so that each value stands where it
acts. Files are bounded in size and depth before anything is built from them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from sparsecbm.base.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_DEPTH = 40


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; an empty file is an empty mapping.

    Raises:
        ConfigError: the file is missing, cannot be read or holds no YAML mapping. The message names the file and the
            line.
    """
    content = _read_bytes(Path(path))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} is not UTF-8 text (line {line}); save it as UTF-8") from None
    plain = parse_yaml(text, str(path))
    if plain is None:
        return {}
    if not isinstance(plain, dict):
        raise ConfigError(f"{path} must hold a mapping of keys to values, not {type(plain).__name__}")
    return plain


def _read_bytes(path: Path) -> bytes:
    """The content of a regular file of bounded size."""
    try:
        if not path.exists():
            raise ConfigError(f"{path} does not exist")
        if not path.is_file():
            raise ConfigError(f"{path} is not a regular file; put a YAML file there")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(f"{path} holds {size:,} bytes; a configuration has at most {MAX_BYTES:,}")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None


def parse_yaml(text: str, where: str) -> object:
    """The value of a YAML text.

    Args:
        where: what to call the text in an error

    Raises:
        ConfigError: the text is not valid, too long, too deep, or has anchors, tags or keys that are no texts.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{where} holds {len(text):,} characters; a configuration has at most {MAX_BYTES:,}")
    try:
        for fault, line in _faults(text):
            raise ConfigError(f"{where}, line {line}: {fault}")
        value = YAML(typ="safe").load(text)
    except MarkedYAMLError as error:
        raise ConfigError(f"{where} is not valid YAML: {_describe(error, text)}") from None
    except YAMLError as error:
        first = str(error).partition("\n")[0]
        raise ConfigError(f"{where} is not valid YAML: {first}") from None
    except (ValueError, LookupError, ArithmeticError) as error:  # a number or date that Python cannot hold
        first = str(error).partition(";")[0].partition("\n")[0]
        raise ConfigError(f"{where} is not valid YAML: {first}; if it is a text, quote it") from None
    _check_keys(value, where)
    return value


def _faults(text: str) -> Iterator[tuple[str, int]]:
    """What this project does not take although it is YAML, with its line."""
    depth = 0
    for event in YAML(typ="safe").parse(text):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) or _is_merge(event):
            yield (
                "anchors (&, *, <<) are not taken, since one value would act in two places; write the value twice",
                line,
            )
        if isinstance(event, DocumentStartEvent) and event.version:
            yield "a %YAML line is not taken; the file is read as YAML 1.2", line
        if getattr(event, "tag", None) and not _implicit(event):
            yield f"tags such as {event.tag} are not taken; remove it, and quote the value if it is a text", line
        depth += isinstance(event, (MappingStartEvent, SequenceStartEvent))
        depth -= isinstance(event, (MappingEndEvent, SequenceEndEvent))
        if depth > MAX_DEPTH:
            yield f"blocks are nested more than {MAX_DEPTH} deep", line


def _is_merge(event: Any) -> bool:
    """Whether an event is a plain `<<`, which copies another mapping into this one."""
    return isinstance(event, ScalarEvent) and event.value == "<<" and bool(event.implicit[0])


def _implicit(event: Any) -> bool:
    """Whether the tag of an event was derived, not written."""
    implicit = event.implicit
    return any(implicit) if isinstance(implicit, tuple) else bool(implicit)


def _describe(error: MarkedYAMLError, text: str) -> str:
    """The line of a fault, what is wrong there, and for a tab what to do."""
    mark = error.problem_mark or error.context_mark
    problem = (error.problem or error.context or "not readable").replace("but found another document", "two documents")
    if mark is None:
        return problem
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        problem = "a tab before the text; indent with blanks"
    elif "unexpected ':'" in problem or "start any token" in problem or "not allowed in this context" in problem:
        problem += "; if the value is a text, quote it"
    return f"line {mark.line + 1}: {problem}"


def _check_keys(value: object, where: str) -> None:
    """Refuse keys that YAML takes as a number, a truth value, a date or nothing: names are texts.

    Raises:
        ConfigError: there is one.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                shown = describe_plain(key)
                raise ConfigError(
                    f'{where}: a key is {shown}, but keys are texts; quote it as it is spelt, as in "{plain_text(key)}"'
                )
            _check_keys(inner, where)
    elif isinstance(value, list):
        for inner in value:
            _check_keys(inner, where)


def describe_plain(value: object) -> str:
    """A value as YAML took it, in words."""
    text = plain_text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the truth value {text}"
    if isinstance(value, int | float):
        return f"the number {text}"
    if hasattr(value, "isoformat"):
        return f"the date {text}"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else text


def plain_text(value: object) -> str:
    """A value as it is written in YAML, at most 60 characters."""
    if value is None or isinstance(value, bool):
        return str(value).lower() if value is not None else "null"
    text = repr(value) if isinstance(value, str | dict | list | tuple) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
