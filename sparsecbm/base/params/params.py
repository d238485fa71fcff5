"""The whole of `params.yaml`. Every key is known and every value is checked; errors name the key."""

import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.files import read_json, write_text
from sparsecbm.base.params.annotate import Annotate
from sparsecbm.base.params.card import Card
from sparsecbm.base.params.data import Split, Validate
from sparsecbm.base.params.drift import Drift
from sparsecbm.base.params.evaluate import Evaluate, Track
from sparsecbm.base.params.explain import Explain
from sparsecbm.base.params.faithfulness import Faithfulness
from sparsecbm.base.params.finetune import Finetune, Model
from sparsecbm.base.params.intervene import Intervene
from sparsecbm.base.params.messages import explain_faults
from sparsecbm.base.params.promote import Promote
from sparsecbm.base.params.prune import Prune
from sparsecbm.base.params.section import Section, matching
from sparsecbm.base.params.source import Source
from sparsecbm.base.workspace import Workspace
from sparsecbm.base.yaml_reader import read_yaml


class Params(Section):
    """The whole of `params.yaml`."""

    profile: Annotated[str, matching(r"[^/\\\x00-\x1f]+", "a name without slashes")] | None = Field(
        description="name of the profiles in force; `run --profile` sets it for its run"
    )
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
    drift: Drift = Drift()
    track: Track
    promote: Promote
    card: Card = Card()

    @model_validator(mode="after")
    def _corrected_targets_are_used(self) -> Self:
        if self.annotate.correct_targets and self.finetune.targets != "votes":
            raise ValueError(
                "annotate.correct_targets gives probabilities, which only `finetune.targets: votes` learns from"
            )
        return self


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
        raise ConfigError(explain_faults(error, where, Params)) from None


def load_params(path: Path) -> Params:
    """Read and check parameters: `params.yaml`, or a JSON file that a run wrote.

    Raises:
        ConfigError: as `read_yaml` and `parse_params`.
        DataError: a JSON file cannot be read.
    """
    return parse_params(read_json(path) if path.suffix == ".json" else read_yaml(path), str(path.name))


def load_run_params(workspace: Workspace) -> Params:
    """The parameters of the last run, with the profiles and settings that were laid over `params.yaml`.

    Before the first run they are those of `params.yaml`.

    Raises:
        ConfigError, DataError: as `load_params`.
    """
    return load_params(workspace.run_params if workspace.run_params.is_file() else workspace.params)


def plain_params(params: Params) -> dict[str, Any]:
    """Parameters as JSON holds them, defaults included."""
    return params.model_dump(mode="json", by_alias=True)


def write_params(path: Path, params: Params) -> None:
    """Write parameters as JSON, which has one meaning for every reader. Keys keep their order, as concepts need it."""
    write_text(path, json.dumps(plain_params(params), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def other_source(params: Params, name: str | None, path: str | None) -> Source:
    """The configured source, or another one by name and path. A source of the same name keeps its column mapping."""
    if name is None and path is None:
        return params.source
    plain = params.source.model_dump(exclude_unset=True) if name in (None, params.source.name) else {"name": name}
    if path is not None:
        plain["path"] = path
    whole = params.model_dump(by_alias=True, exclude_unset=True)
    return parse_params({**whole, "source": plain}, "--source").source
