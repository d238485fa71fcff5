"""The block `source` of `params.yaml`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

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
        default={},
        description="name of each concept that people labelled, with its `column` and, optionally, its `states`; "
        "`concepts.yaml` defines concepts without a column",
    )
    labels: tuple[str, ...] | None = Field(
        default=None, description="classes of the label, in order; without them the data gives the classes"
    )
    id: str | None = Field(default=None, description="column of unique ids; by default rows are numbered")
    split: str | None = Field(default=None, description="column of split names; by default splits are made")
    group: str | None = Field(default=None, description="column of groups; rows of one group stay in one split")
    splits: dict[str, str] = Field(
        default={}, description="new names of splits; of a hub data set only the named splits are loaded"
    )

    @model_validator(mode="after")
    def _one_use_of_a_column(self) -> "Mapping":
        """A concept that is the label would foretell it perfectly, and two concepts of one column would be one."""
        used = {self.label: "label"}
        for name, concept in self.concepts.items():
            use, column = f"concepts.{name}", concept.column
            if column in used:
                raise ValueError(f"{used[column]} and {use} are the same column {column!r}; name one column for each")
            used[column] = use
        return self


class TableFormat(Section):
    """How a file is written, where that cannot be told from its name."""

    separator: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="character between cells of a csv or tsv file; by default a comma or a tab",
    )
    encoding: str = Field(default="utf-8", description="encoding of characters; a byte-order mark in the file decides")
    quote: str = Field(
        default='"', max_length=1, description="character around cells that hold separators; empty for none"
    )
    header: int = Field(
        default=1,
        ge=0,
        description="line of the column names, from 1; lines above it are skipped; 0: there is none, and columns are "
        "called 1, 2, ...",
    )
    skip_blanks: bool = Field(default=False, description="whether blanks after separators are left out")
    sheet: str | None = Field(default=None, description="sheet of an xlsx file; by default the first one")

    @model_validator(mode="after")
    def _distinct(self) -> "TableFormat":
        if self.separator is not None and self.separator in (self.quote, "\n", "\r"):
            raise ValueError("separator must be another character than quote, and no line end")
        if self.quote in ("\n", "\r"):
            raise ValueError("quote must be no line end")
        return self


class TableSource(Section):
    """One csv, tsv, json, jsonl, parquet or xlsx file."""

    name: Literal["table"]
    path: str = Field(description="the file")
    format: TableFormat = Field(default=TableFormat(), description="how the file is written")
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
