"""The stage `ingest`: one table for each split; the bytes depend on the content only."""

import shutil

import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import load_run_params
from sparsecbm.data.tables import read_manifest, read_splits
from sparsecbm.stages import annotate, ingest, validate
from tests.support.data_workspace import REPOSITORY, files_of, make_workspace, source_rows, write_source


def test_splits_and_manifest_are_written(tmp_path):
    params, workspace = make_workspace(tmp_path)
    ingest.run(params, workspace)
    sizes = {name: len(frame) for name, frame in read_splits(workspace.ingested).items()}
    assert sizes == {"train": 42, "validation": 6, "test": 12}
    manifest = read_manifest(workspace.ingested)
    assert manifest["source"] == "table" and manifest["files"][0]["name"] == "reviews.csv"
    assert manifest["vocabulary"]["concepts"][1] == {"name": "price", "states": ["high", "low"]}
    assert load_run_params(workspace) == params, "the other stages read what this one read"


def test_the_bytes_depend_on_the_content_only(tmp_path):
    for name in ("one", "two"):
        ingest.run(*make_workspace(tmp_path / name))
    one, two = files_of(tmp_path / "one" / "data"), files_of(tmp_path / "two" / "data")
    assert one == two and len(one) == 6
    params, workspace = make_workspace(
        tmp_path / "one", rows=[source_rows()[0] | {"comment": "other"}, *source_rows()[1:]]
    )
    ingest.run(params, workspace)
    assert files_of(tmp_path / "one" / "data") != two


def test_a_fault_keeps_the_old_tables(tmp_path):
    params, workspace = make_workspace(tmp_path)
    ingest.run(params, workspace)
    before = files_of(tmp_path / "data")
    write_source(tmp_path, [{key: value for key, value in row.items() if key != "stars"} for row in source_rows()])
    with pytest.raises(DataError, match=r"reviews\.csv has no column 'stars'"):
        ingest.run(params, workspace)
    assert files_of(tmp_path / "data") == before


def test_the_embedded_data_set_passes_every_data_stage(tmp_path):
    shutil.copytree(REPOSITORY / "data" / "restaurants", tmp_path / "data" / "restaurants")
    embedded = {"source": {"name": "restaurants", "path": "data/restaurants"}}
    params, workspace = make_workspace(tmp_path, **embedded)
    for stage in (ingest, validate, annotate):
        stage.run(params, workspace)
    splits = read_splits(workspace.annotated)
    assert list(splits) == ["train", "validation", "test"]
    groups = [set(frame["group"]) for frame in splits.values()]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert sum(map(len, splits.values())) == read_manifest(workspace.ingested)["files"][0]["rows"]
