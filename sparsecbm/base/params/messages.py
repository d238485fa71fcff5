"""What is wrong with `params.yaml` in words: for each fault the key, the fault, and what would be right."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sparsecbm.base.errors import unknown
from sparsecbm.base.params.section import describe_fault

# Keys that have a new name: an old key is an error that names the new one.
RENAMED = {
    "annotate.annotator": "annotate.annotators",
    "finetune.average": "finetune.ema_decay",
    "finetune.clip": "finetune.max_grad_norm",
    "prune.others": "prune.leakage_weight",
    "prune.damp": "prune.damping",
    "intervene.bits": "intervene.max_flipped_share",
}
MAX_LINES = 30


def explain_faults(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """One line for each fault, at most `MAX_LINES`.

    Args:
        where: what to call the checked mapping
        model: the type that was checked
    """
    faults = error.errors()
    lines = list(dict.fromkeys(_line(fault, model) for fault in faults if not _follows(fault, faults)))
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"... and {len(lines) - MAX_LINES} more"]
    return f"{where} is not valid:\n" + "\n".join(f"  {line}" for line in lines)


def _follows(fault: ErrorDetails, faults: list[ErrorDetails]) -> bool:
    """Whether a list is too short only because its entries are wrong, which other faults say."""
    where = fault["loc"]
    return fault["type"] == "too_short" and any(
        other["loc"][: len(where)] == where and other is not fault for other in faults
    )


def _line(fault: ErrorDetails, model: type[BaseModel]) -> str:
    names, holder = _resolve(fault["loc"], model)
    key = ".".join(name if len(name) <= 60 else f"{name[:60]}..." for name in names)
    if fault["type"] == "extra_forbidden":
        return f"{key} is now {RENAMED[key]}" if key in RENAMED else f"{key}: {unknown('key', names[-1], holder)}"
    if fault["type"] == "missing":
        return f"{key}: this key is missing"
    if fault["type"] == "union_tag_invalid":
        of, tags = fault["ctx"]["discriminator"].strip("'"), fault["ctx"]["expected_tags"]
        choices = [tag.strip("'") for tag in tags.split(", ")]
        return f"{key}.{of}: {unknown('source' if key == 'source' else of, fault['ctx']['tag'], choices)}"
    if fault["type"] == "union_tag_not_found":
        of = fault["ctx"]["discriminator"].strip("'")
        if isinstance(fault["input"], dict):
            return f"{key}.{of}: this key is missing"
        return describe_fault({**fault, "type": "dict_type"}, key)
    return describe_fault(fault, key)


def _resolve(location: tuple[int | str, ...], model: type[BaseModel]) -> tuple[list[str], list[str]]:
    """The dotted key of a location, as a person wrote it, and the known keys of the block that holds it.

    Pydantic adds to a location which member of a union it tried; a person wrote no such key.
    """
    kind: Any = model
    names, known = [], []
    for part in location:
        kind = _without_none(kind)
        if get_origin(kind) in (Union, UnionType):
            kind = next((member for member in get_args(kind) if _has_tag(member, part)), None)
            continue
        names.append(str(part))
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {field.alias or name: field for name, field in kind.model_fields.items()}
            known = list(fields)
            kind = fields[str(part)].annotation if part in fields else None
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        elif get_origin(kind) in (list, tuple):
            kind = get_args(kind)[0]
    return names, known


def _without_none(kind: Any) -> Any:
    """A type without its `Annotated` and its `None`."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        members = [member for member in get_args(kind) if member is not type(None)]
        if len(members) == 1:
            return _without_none(members[0])
    return kind


def _has_tag(member: Any, tag: object) -> bool:
    """Whether a block is the one of a union that is chosen by the literal `tag`."""
    if not (isinstance(member, type) and issubclass(member, BaseModel)):
        return False
    return any(tag in _literals(field) for field in member.model_fields.values())


def _literals(field: FieldInfo) -> Iterator[object]:
    if get_origin(field.annotation) is Literal and field.is_required():
        yield from get_args(field.annotation)
