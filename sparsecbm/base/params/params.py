"""The whole of `params.yaml`. Every key is known and every value is checked; errors name the key."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.params.data import Annotate, Split, Validate
from sparsecbm.base.params.evaluate import Evaluate, Track
from sparsecbm.base.params.explain import Explain
from sparsecbm.base.params.faithfulness import Faithfulness
from sparsecbm.base.params.finetune import Finetune, Model
from sparsecbm.base.params.intervene import Intervene
from sparsecbm.base.params.promote import GATES, Promote
from sparsecbm.base.params.prune import Prune
from sparsecbm.base.params.section import Section, describe_fault
from sparsecbm.base.params.source import SOURCES, ConceptColumn, Source

# Keys that have a new name: an old key is an error that names the new one.
RENAMED = {
    "finetune.average": "finetune.ema_decay",
    "finetune.clip": "finetune.max_grad_norm",
    "prune.others": "prune.leakage_weight",
    "prune.damp": "prune.damping",
    "intervene.bits": "intervene.max_flipped_share",
}


class Params(Section):
    """The whole of `params.yaml`."""

    profile: str | None = Field(description="the profiles in the file; `run --profile` writes it")
    seed: int = Field(ge=0, description="seed of splits, training and bootstrap")
    threads: int = Field(ge=1, description="CPU threads; results repeat to the byte only with the same number")
    source: Source
    split: Split
    validate_: Validate = Field(alias="validate")
    annotate: Annotate
    model: Model
    finetune: Finetune
    prune: Prune
    explain: Explain
    intervene: Intervene
    evaluate: Evaluate
    faithfulness: Faithfulness
    track: Track
    promote: Promote


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """Known keys of the block that holds the key at `location`."""
    block: type[BaseModel] = Params
    parts = list(location[:-1])
    if parts[:1] == ["source"]:
        block, parts = SOURCES[str(parts[1])], parts[2:]
    if parts[:2] == ["promote", "gates"]:
        block, parts = GATES[str(parts[3])], []
    for part in parts:
        if part == "concepts":
            block = ConceptColumn  # the part after it is the name of a concept
            continue
        inner = next((f.annotation for n, f in block.model_fields.items() if (f.alias or n) == part), None)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            block = inner
    return [field.alias or name for name, field in block.model_fields.items()]


def _explain(error: ValidationError, where: str) -> str:
    """One line for each fault: the key, what is wrong, and what would be right."""
    lines = []
    for fault in error.errors():
        location = fault["loc"]
        names = [str(part) for part in location]
        if names[:1] == ["source"] and len(names) > 2:
            names.pop(1)
        key = ".".join(names)
        if fault["type"] == "extra_forbidden" and key in RENAMED:
            lines.append(f"{key} is now {RENAMED[key]}")
        elif fault["type"] == "extra_forbidden":
            lines.append(f"{key}: {unknown('key', names[-1], _fields_at(location))}")
        elif fault["type"] == "missing":
            lines.append(f"{key}: this key is missing")
        elif fault["type"] == "union_tag_invalid":
            lines.append(f"{key}.name: {unknown('source', fault['ctx']['tag'], SOURCES)}")
        else:
            lines.append(describe_fault(fault, key))
    return f"{where} is not valid:\n" + "\n".join(f"  {line}" for line in lines)


def parse_params(plain: object, where: str = "params.yaml") -> Params:
    """Check a plain mapping against the typed form.

    Args:
        where: what to call the mapping in an error

    Raises:
        ConfigError: a key is unknown, missing or renamed, or a value is wrong. The message lists every fault.
    """
    if not isinstance(plain, dict):
        raise ConfigError(f"{where} must hold a mapping of keys to values, not {type(plain).__name__}")
    try:
        return Params.model_validate(plain)
    except ValidationError as error:
        raise ConfigError(_explain(error, where)) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; an empty file is an empty mapping.

    Raises:
        ConfigError: the file is missing or holds no YAML mapping. The message names the file and the line.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path} does not exist")
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if plain is None:
        return {}
    if not isinstance(plain, dict):
        raise ConfigError(f"{path} must hold a mapping of keys to values, not {type(plain).__name__}")
    return plain


def load_params(path: Path) -> Params:
    """Read and check `params.yaml`.

    Raises:
        ConfigError: as `read_yaml` and `parse_params`.
    """
    return parse_params(read_yaml(path), str(path.name))


def other_source(params: Params, name: str | None, path: str | None) -> Source:
    """The configured source, or another one by name and path. A source of the same name keeps its column mapping."""
    if name is None and path is None:
        return params.source
    plain = params.source.model_dump(exclude_unset=True) if name in (None, params.source.name) else {"name": name}
    if path is not None:
        plain["path"] = path
    whole = params.model_dump(by_alias=True, exclude_unset=True)
    return parse_params({**whole, "source": plain}, "--source").source
