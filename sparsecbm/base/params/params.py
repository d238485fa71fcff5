"""The whole of `params.yaml`. Every key is known and every value is checked; errors name the key."""

from pathlib import Path

from pydantic import Field, ValidationError

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params.data import Annotate, Split, Validate
from sparsecbm.base.params.evaluate import Evaluate, Track
from sparsecbm.base.params.explain import Explain
from sparsecbm.base.params.faithfulness import Faithfulness
from sparsecbm.base.params.faults import explain_faults
from sparsecbm.base.params.finetune import Finetune, Model
from sparsecbm.base.params.intervene import Intervene
from sparsecbm.base.params.promote import Promote
from sparsecbm.base.params.prune import Prune
from sparsecbm.base.params.section import Section
from sparsecbm.base.params.source import Source
from sparsecbm.base.yaml_reader import read_yaml


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
