"""The typed form of `params.yaml`: every key is known, every value is checked, errors name the key."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from sparsecbm.errors import ConfigError, unknown
from sparsecbm.params_explain import Explain
from sparsecbm.params_faithfulness import Faithfulness
from sparsecbm.params_intervene import Intervene
from sparsecbm.params_promote import GATES, Promote
from sparsecbm.section import Section

Share = Annotated[float, Field(ge=0, lt=1)]


class RestaurantsSource(Section):
    """The embedded data set."""

    name: Literal["restaurants"]
    path: str = "data/restaurants"


class CebabSource(Section):
    """CEBaB: a folder with the released JSON files; without a path the public data set is downloaded."""

    name: Literal["cebab"]
    path: str | None = None
    train: Literal["train_exclusive", "train_inclusive", "train_observational"] = "train_exclusive"


class ImdbSource(Section):
    """IMDB-C: a folder with the released CSV files."""

    name: Literal["imdb-c"]
    path: str
    labels: Literal["manual", "generated"] = "manual"


class ConceptColumn(Section):
    """Which column holds a concept, and the states it may take (read off the data where left out)."""

    column: str
    states: tuple[str, ...] | None = None


class Mapping(Section):
    """Which columns of a table mean what."""

    text: str
    label: str
    concepts: dict[str, ConceptColumn] = Field(min_length=1)
    labels: tuple[str, ...] | None = None
    id: str | None = None
    split: str | None = None
    group: str | None = None
    splits: dict[str, str] = Field({})


class TableSource(Section):
    """One csv, tsv, jsonl or parquet file with a column mapping."""

    name: Literal["table"]
    path: str
    columns: Mapping
    licence: str = "not stated"


class HubSource(Section):
    """Any data set that the `datasets` library can load, with the same column mapping."""

    name: Literal["hub"]
    dataset: str
    config: str | None = None
    revision: str | None = None
    columns: Mapping
    licence: str = "not stated"


Source = Annotated[RestaurantsSource | CebabSource | ImdbSource | TableSource | HubSource, Field(discriminator="name")]

SOURCES = {
    "restaurants": RestaurantsSource,
    "cebab": CebabSource,
    "imdb-c": ImdbSource,
    "table": TableSource,
    "hub": HubSource,
}


class Split(Section):
    """Shares held out, by group and stratified by label, where the source brings no such split."""

    validation: Share
    test: Share


class Validate(Section):
    """When data is refused."""

    max_words: int = Field(ge=1)
    quarantine_share: Share
    min_state_share: Share


class Annotate(Section):
    """Where concept labels come from, and what an empty cell means."""

    annotator: Literal["human"]
    blank: Literal["unknown", "leave_out"]


class Model(Section):
    """What is trained."""

    backbone: str
    mode: Literal["standard", "joint", "sequential", "independent"]
    pooling: Literal["mean", "cls", "last_token"]
    activation: Literal["soft", "logits", "hard"]
    max_length: int = Field(ge=8)
    dropout: Share


class Finetune(Section):
    """How it is trained."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    accumulate: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    head_learning_rate: float = Field(gt=0)
    label_head_learning_rate: float = Field(gt=0)
    refit_label_head: bool
    weight_decay: float = Field(ge=0)
    warmup: Share
    clip: float = Field(gt=0)
    gamma: float = Field(ge=0)
    average: float = Field(ge=0, lt=1)
    targets: Literal["majority", "votes"]
    label_smoothing: Share
    freeze_embeddings: bool
    class_weights: Literal["none", "balanced"]
    patience: int = Field(ge=1)
    precision: Literal["auto", "float32", "bf16"]
    device: Literal["auto", "cpu"]
    checkpoint_seconds: float = Field(ge=0)


class Prune(Section):
    """How each concept's mask is found. What is not said here is as in `finetune`."""

    sparsity: float = Field(ge=0, lt=1)
    initial: float = Field(ge=0, lt=1)
    schedule: Literal["cubic", "linear", "constant"]
    begin: Share
    end: Share
    events: int = Field(ge=1)
    saliency: Literal["movement", "obert", "fisher_diagonal", "magnitude", "random"]
    first_scores: Literal["fisher_diagonal", "obert", "magnitude", "random"]
    granularity: str = Field(pattern=r"^(unstructured|structured|[1-9]\d*:[1-9]\d*)$")
    threshold: Literal["layer", "global"]
    layers: list[str] = Field(min_length=1)
    masked_from: int = Field(ge=0)
    weights: Literal["frozen", "trained"]
    concepts: Literal["sampled", "split", "all"]
    core: Share
    others: float = Field(ge=0)
    distill: float = Field(ge=0, le=1)
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    score_learning_rate: float = Field(gt=0)
    gradients: int = Field(ge=1)
    gradient_batch: int = Field(ge=1)
    block: int = Field(ge=1)
    damp: float = Field(gt=0)
    memory_mb: float = Field(gt=0)
    probe_texts: int = Field(ge=10)
    control: bool

    @model_validator(mode="after")
    def _in_order(self) -> "Prune":
        if self.begin > self.end:
            raise ValueError(f"begin {self.begin} is after end {self.end}; both are shares of all updates")
        if self.initial > self.sparsity:
            raise ValueError(f"initial {self.initial} is above sparsity {self.sparsity}")
        if ":" in self.granularity:
            kept, of = map(int, self.granularity.split(":"))
            if kept >= of:
                raise ValueError(
                    f"granularity {self.granularity} prunes nothing; N:M keeps N of M weights, as 2:4 does"
                )
            if abs(1 - kept / of - self.sparsity) > 1e-9:
                raise ValueError(
                    f"granularity {self.granularity} prunes {of - kept} of {of} weights, "
                    f"so sparsity must be {1 - kept / of:g}, not {self.sparsity:g}"
                )
            if self.threshold == "global":
                raise ValueError(f"threshold global and granularity {self.granularity}, which prunes all layers alike")
        if self.granularity != "unstructured":
            for key in ("core", "control"):
                if getattr(self, key):
                    raise ValueError(
                        f"{key} {getattr(self, key)} needs masks that are chosen weight by weight; "
                        f"granularity is {self.granularity}, not unstructured"
                    )
        return self


class Evaluate(Section):
    """How scores are computed."""

    bootstrap: int = Field(ge=100)
    calibration_bins: int = Field(ge=2)
    effect_texts: int = Field(ge=10)


class Track(Section):
    """What goes to MLflow; the server is named by MLFLOW_TRACKING_URI."""

    enabled: bool
    experiment: str


class Params(Section):
    """The whole of `params.yaml`."""

    profile: str | None
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
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


def _fields_at(location: tuple) -> list[str]:
    """Known keys of the block that holds the key at `location`."""
    block: type[BaseModel] = Params
    parts = list(location[:-1])
    if parts[:1] == ["source"]:
        block, parts = SOURCES[parts[1]], parts[2:]
    if parts[:2] == ["promote", "gates"]:
        block, parts = GATES[parts[3]], []
    for part in parts:
        if part == "concepts":
            block = ConceptColumn  # what follows is a concept's own name
            continue
        inner = next((f.annotation for n, f in block.model_fields.items() if (f.alias or n) == part), None)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            block = inner
    return [field.alias or name for name, field in block.model_fields.items()]


def _explain(error: ValidationError, where: str) -> str:
    """One line a fault: the key, what is wrong, and what would be right."""
    lines = []
    for fault in error.errors():
        location = fault["loc"]
        names = [str(part) for part in location]
        if names[:1] == ["source"] and len(names) > 2:
            names.pop(1)
        key = ".".join(names)
        if fault["type"] == "extra_forbidden":
            lines.append(f"{key}: {unknown('key', names[-1], _fields_at(location))}")
        elif fault["type"] == "missing":
            lines.append(f"{key}: this key is missing")
        elif fault["type"] == "union_tag_invalid":
            lines.append(f"{key}.name: {unknown('source', fault['ctx']['tag'], SOURCES)}")
        elif fault["type"] == "value_error":  # of several keys of a block; the message has their values
            lines.append(f"{key}: {fault['ctx']['error']}")
        else:
            lines.append(f"{key}: {fault['msg']} (got {fault['input']!r})")
    return f"{where} is not valid:\n" + "\n".join(f"  {line}" for line in lines)


def parse_params(plain: object, where: str = "params.yaml") -> Params:
    """Check a plain mapping against the typed form.

    Raises:
        ConfigError: naming each wrong key with the nearest match and the choices.
    """
    if not isinstance(plain, dict):
        raise ConfigError(f"{where} must hold a mapping of keys to values, not {type(plain).__name__}")
    try:
        return Params.model_validate(plain)
    except ValidationError as error:
        raise ConfigError(_explain(error, where)) from None


def read_yaml(path: Path) -> dict:
    """Read a YAML mapping; faults name the file and line."""
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
    """Read and check `params.yaml`."""
    return parse_params(read_yaml(path), str(path.name))


def other_source(params: Params, name: str | None, path: str | None) -> Source:
    """The configured source, or another one by name and path; a mapping of columns is kept for the same name."""
    if name is None and path is None:
        return params.source
    plain = params.source.model_dump(exclude_unset=True) if name in (None, params.source.name) else {"name": name}
    if path is not None:
        plain["path"] = path
    whole = params.model_dump(by_alias=True, exclude_unset=True)
    return parse_params({**whole, "source": plain}, "--source").source
