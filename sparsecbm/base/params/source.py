"""The block `source` of `params.yaml`: where the data comes from."""

from typing import Annotated, Literal

from pydantic import Field

from sparsecbm.base.params.section import Section


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
