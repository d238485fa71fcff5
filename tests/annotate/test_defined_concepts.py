"""Concepts of `concepts.yaml` join those of the source, and nobody has labelled them yet."""

import json

import pytest
import yaml

from sparsecbm.annotate.concept_file import read_concept_file
from sparsecbm.annotate.defined_concepts import load_defined
from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.data.acceptance import accepted_splits
from sparsecbm.data.tables import DEFINITIONS, read_concepts, read_split
from sparsecbm.stages import ingest, validate
from tests.support.data_workspace import files_of, make_workspace, source_rows

FOOD = {"Negative": "it was bad", "Positive": "it was good", "unknown": "it is not mentioned"}
NOISE = {"loud": "it was loud", "quiet": "it was quiet"}


def workspace_with(root, concepts, columns=None, rows=None):
    """Return parameters and workspace of a table whose mapping has some concepts, and with a file of concepts."""
    params, workspace = make_workspace(root, rows)
    plain = params.model_dump()["source"] | {"path": "raw/reviews.csv"}
    plain["columns"]["concepts"] = columns or {}
    source = type(params.source).model_validate(plain)
    if concepts is not None:
        content = {"task": "reviews", "concepts": {name: {"states": states} for name, states in concepts.items()}}
        workspace.concept_file.write_text(yaml.safe_dump(content, sort_keys=False))
    return params.model_copy(update={"source": source}), workspace


def test_without_a_file_a_table_has_the_concepts_of_its_columns(tmp_path):
    params, workspace = workspace_with(tmp_path, None)
    table = load_defined(params.source, workspace)
    assert (table.concept_set.names, DEFINITIONS in table.manifest()) == ((), False)


def test_a_defined_concept_has_blank_cells(tmp_path):
    params, workspace = workspace_with(tmp_path, {"food": FOOD, "noise": NOISE})
    table = load_defined(params.source, workspace)
    assert table.concept_set.names == ("food", "noise")
    assert table.concept_set["noise"].states == ("loud", "quiet")
    assert table.frame["concept.noise"].isna().all() and set(table.frame["source.noise"]) == {"blank"}
    assert table.manifest()[DEFINITIONS] == read_concept_file(workspace.concept_file).hashes


def test_a_column_gives_labels_by_people_and_its_states_are_the_defined_ones(tmp_path):
    rows = [row | {"p": row["p"] if n < 6 else ""} for n, row in enumerate(source_rows())]
    columns = {"price": {"column": "p"}}
    params, workspace = workspace_with(tmp_path, {"price": {"high": "a", "low": "b", "fair": "c"}}, columns, rows)
    table = load_defined(params.source, workspace)
    assert table.concept_set["price"].states == ("high", "low", "fair")
    assert table.frame["source.price"].value_counts().to_dict() == {"blank": 54, "human": 6}


@pytest.mark.parametrize(
    ("concepts", "columns", "message"),
    [
        (
            {"food": NOISE},
            {"food": {"column": "f", "states": list(FOOD)}},
            "has the states loud, quiet in concepts.yaml",
        ),
        ({"stars": NOISE}, {}, "concept 'stars' has the name of the label; rename it"),
        ({"food": {"good": "x"}}, {}, "states"),
    ],
)
def test_a_concept_that_does_not_fit_is_an_error(tmp_path, concepts, columns, message):
    params, workspace = workspace_with(tmp_path, concepts, columns)
    with pytest.raises(ConfigError, match=message):
        load_defined(params.source, workspace)


def test_order_of_states_may_differ(tmp_path):
    columns = {"food": {"column": "f", "states": ["unknown", "Positive", "Negative"]}}
    params, workspace = workspace_with(tmp_path, {"food": FOOD}, columns)
    assert load_defined(params.source, workspace).concept_set["food"].states == ("unknown", "Positive", "Negative")


@pytest.mark.parametrize("blank", ["leave_out", "unknown"])
def test_concepts_that_are_labelled_later_pass_ingest_and_validate(tmp_path, blank):
    params, workspace = workspace_with(tmp_path, {"noise": NOISE}, {"food": {"column": "f"}})
    params = params.model_copy(update={"annotate": params.annotate.model_copy(update={"blank": blank})})
    ingest.run(params, workspace)
    validate.run(params, workspace)
    assert read_concepts(workspace.validated).names == ("food", "noise")
    assert read_split(workspace.validated, "train")["concept.noise"].isna().all()
    report = json.loads(workspace.metrics("validate").read_text())
    assert [warning for warning in report["warnings"] if warning["column"] == "concept.noise"] == []


def test_a_concept_of_a_column_alone_must_still_vary(tmp_path):
    rows = [row | {"f": "Positive"} for row in source_rows()]
    params, workspace = workspace_with(
        tmp_path, {"noise": NOISE}, {"food": {"column": "f", "states": list(FOOD)}}, rows
    )
    with pytest.raises(DataError, match="'food' is 'Positive' in all 60"):
        accepted_splits(load_defined(params.source, workspace), params)


def test_a_table_without_any_concept_passes_ingest_and_validate(tmp_path):
    params, workspace = workspace_with(tmp_path, None)
    ingest.run(params, workspace)
    first = files_of(workspace.ingested)
    validate.run(params, workspace)
    assert read_concepts(workspace.validated).names == ()
    ingest.run(params, workspace)
    assert files_of(workspace.ingested) == first
