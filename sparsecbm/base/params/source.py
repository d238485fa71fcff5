"""The block `source` of `params.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from sparsecbm.base.params.section import Section


class RestaurantsSource(Section):
    """The embedded data set."""

    name: Literal["restaurants"]
    path: str = Field(default="data/restaurants", description="folder of `reviews.csv`")


class CebabSource(Section):
    """CEBaB, from the released JSON files or from the public hub."""

    name: Literal["cebab"]
    path: str | None = Field(
        default=None, description="folder of the JSON files; without it the public data set is downloaded"
    )
    train: Literal["train_exclusive", "train_inclusive", "train_observational"] = Field(
        default="train_exclusive", description="the training file; the three overlap, so only one is used"
    )


class ImdbSource(Section):
    """IMDB-C, from the released CSV files."""

    name: Literal["imdb-c"]
    path: str = Field(description="folder of the CSV files")
    labels: Literal["manual", "generated"] = Field(
        default="manual",
        description="labels by people (150 training texts) or by a language model (2,000 training texts)",
    )


class ConceptColumn(Section):
    """One concept of `columns.concepts`."""

    column: str = Field(description="column that holds the concept")
    states: tuple[str, ...] | None = Field(
        default=None, description="states of the concept, in order; without them the data gives the states"
    )


class Mapping(Section):
    """Which columns of a table mean what."""

    text: str = Field(description="column of the texts")
    label: str = Field(description="column of the label")
    concepts: dict[str, ConceptColumn] = Field(
        min_length=1, description="name of each concept, with its `column` and, optionally, its `states`"
    )
    labels: tuple[str, ...] | None = Field(
        default=None, description="states of the label, in order; without them the data gives the states"
    )
    id: str | None = Field(default=None, description="column of unique ids; by default rows are numbered")
    split: str | None = Field(default=None, description="column of split names; by default splits are made")
    group: str | None = Field(default=None, description="column of groups; rows of one group stay in one split")
    splits: dict[str, str] = Field(
        default={}, description="new names of splits; of a hub data set only the named splits are loaded"
    )


class TableSource(Section):
    """One csv, tsv, jsonl or parquet file."""

    name: Literal["table"]
    path: str = Field(description="the file")
    columns: Mapping = Field(description="which columns mean what")
    licence: str = Field(default="not stated", description="licence of the data, for the manifest")


class HubSource(Section):
    """Any data set that the `datasets` library can load."""

    name: Literal["hub"]
    dataset: str = Field(description="name of the data set")
    config: str | None = Field(default=None, description="its configuration")
    revision: str | None = Field(default=None, description="its revision")
    columns: Mapping = Field(description="which columns mean what")
    licence: str = Field(default="not stated", description="licence of the data, for the manifest")


Source = Annotated[RestaurantsSource | CebabSource | ImdbSource | TableSource | HubSource, Field(discriminator="name")]

SOURCES: dict[str, type[Section]] = {
    "restaurants": RestaurantsSource,
    "cebab": CebabSource,
    "imdb-c": ImdbSource,
    "table": TableSource,
    "hub": HubSource,
}
