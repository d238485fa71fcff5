"""The tables of docs/configuration.md, made from the typed sections: `python -m sparsecbm.base.params.document`."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from sparsecbm.base.files import write_text
from sparsecbm.base.params.params import Params
from sparsecbm.base.params.promote import GATES
from sparsecbm.base.params.section import Section
from sparsecbm.base.params.source import SOURCES, ConceptColumn, Mapping
from sparsecbm.base.workspace import Workspace

START, END = "<!-- tables: generated -->", "<!-- end of tables -->"
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
KINDS = {int: "whole number", float: "number", str: "text", bool: "`true`, `false`"}


def fill_tables(page: str) -> str:
    """The page with fresh tables between its markers."""
    head, rest = page.split(START)
    return f"{head}{START}\n\n{tables()}\n{END}{rest.split(END)[1]}"


def tables() -> str:
    """A section with one table for each block of `params.yaml`, as Markdown."""
    blocks = {name: field for name, field in Params.model_fields.items() if _section(field) or name == "source"}
    single = {name: field for name, field in Params.model_fields.items() if name not in blocks}
    parts = ["### At the top\n", _table(single)]
    for name, field in blocks.items():
        parts += _source_tables() if name == "source" else _block_tables(field.alias or name, field)
    return "\n".join(parts)


def _block_tables(name: str, field: FieldInfo) -> Iterator[str]:
    section = _section(field)
    assert section is not None
    yield f"### `{name}`\n\n{_sentences(section)}\n"
    yield _table(section.model_fields)
    if name == "promote":
        for kind, gate in GATES.items():
            yield _sentences(gate, f"A gate of `kind: {kind}`: ") + "\n"
            yield _table({key: field for key, field in gate.model_fields.items() if key != "kind"})


def _source_tables() -> Iterator[str]:
    yield "### `source`\n\nWhere the data comes from. `name` names the kind of source. See [data.md](data.md).\n"
    for name, source in SOURCES.items():
        yield _sentences(source, f"`name: {name}`: ") + "\n"
        yield _table({key: field for key, field in source.model_fields.items() if key != "name"})
    for title, section in (("`columns`", Mapping), ("One concept of `columns.concepts`", ConceptColumn)):
        yield f"{title}:\n"
        yield _table(section.model_fields)


def _sentences(section: type[Section], head: str = "") -> str:
    """What a section's docstring says, in lines of at most 100 characters."""
    return fill(head + " ".join((section.__doc__ or "").split()), 100)


def _table(fields: dict[str, FieldInfo], prefix: str = "") -> str:
    lines = ["| key | default | values | meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *_rows(fields, prefix)]) + "\n"


def _rows(fields: dict[str, FieldInfo], prefix: str) -> Iterator[str]:
    for name, field in fields.items():
        section = _section(field)
        if section is not None and section is not Mapping:
            yield from _rows(section.model_fields, f"{prefix}{name}.")
        else:
            cells = (f"`{prefix}{name}`", _default(field), _values(field.annotation, field.metadata), field.description)
            yield "| " + " | ".join(str(cell) for cell in cells) + " |"


def _section(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "`null`"
    return f"`{_plain(field.default)}`"


def _plain(value: object) -> str:
    """A value as YAML holds it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_plain(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _values(kind: Any, metadata: list[Any], plural: str = "") -> str:
    """Which values a type takes: its choices, or its kind and bounds.

    Args:
        plural: `s` for the values in a list
    """
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        return _values(inner, [part for item in more for part in getattr(item, "metadata", [item])], plural)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(dict.fromkeys(_values(member, metadata, plural) for member in get_args(kind)))
    if get_origin(kind) in (list, tuple):
        return f"list of {_values(get_args(kind)[0], [], 's')}"
    if get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, Section)):
        return f"mapping{plural}"
    if kind is NoneType:
        return "`null`"
    bounds = [
        f"{word} {getattr(item, key):g}" for item in metadata for key, word in BOUNDS.items() if hasattr(item, key)
    ]
    return ", ".join([KINDS[kind] + (plural if kind is not bool else ""), *bounds])


def main() -> None:
    """Renew the tables of docs/configuration.md."""
    path = Path(Workspace.find().root) / "docs" / "configuration.md"
    write_text(path, fill_tables(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
