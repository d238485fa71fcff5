import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_json, read_parquet
from sparsecbm.data.tables import read_manifest, read_split, read_splits
from sparsecbm.stages import ingest, validate
from tests.support.data_workspace import files_of, make_workspace, source_rows

LIMITS = {"max_words": 100, "quarantine_share": 0.1, "min_state_share": 0.02}


def run(root, spoil=(), **limits):
    """Ingest and validate; `spoil` gives (row, column, value) for the source."""
    rows = source_rows()
    for row, column, value in spoil:
        rows[row][column] = value
    params, workspace = make_workspace(root, rows, validate=LIMITS | limits)
    ingest.run(params, workspace)
    validate.run(params, workspace)
    return workspace


def test_bad_rows_lie_in_quarantine_and_the_rest_goes_on(tmp_path):
    workspace = run(tmp_path, [(4, "comment", " "), (7, "f", "postive")])
    quarantine = read_parquet(workspace.validated / "quarantine.parquet")
    assert sorted(quarantine["row"]) == [5, 8]
    assert sum(len(frame) for frame in read_splits(workspace.validated).values()) == 58
    report = read_json(workspace.metrics("validate"))
    assert report["accepted"] and sum(rows["quarantined"] for rows in report["rows"].values()) == 2
    manifest = read_manifest(workspace.validated)
    assert manifest["vocabulary"] == read_manifest(workspace.ingested)["vocabulary"]
    assert len(read_split(workspace.validated, "train")) == manifest["splits"][0]["rows"]


def test_without_bad_rows_the_quarantine_is_an_empty_table_of_the_same_form(tmp_path):
    none = read_parquet(run(tmp_path / "a").validated / "quarantine.parquet")
    some = read_parquet(run(tmp_path / "b", [(4, "comment", " ")]).validated / "quarantine.parquet")
    assert len(none) == 0 and list(none.columns) == list(some.columns) and none.dtypes.equals(some.dtypes)


def test_the_outputs_are_the_same_bytes_each_time(tmp_path):
    for name in ("one", "two"):
        run(tmp_path / name, [(4, "comment", "")])
    one, two = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    assert one == two
    assert {"reports/validation.html", "metrics/validate.json", "data/validated/quarantine.parquet"} <= set(one)


def test_too_many_bad_rows_fail_the_stage_and_pass_nothing_on(tmp_path):
    spoil = [(row, "comment", " ") for row in range(3)]
    with pytest.raises(
        DataError, match=r"3 of 60 rows are bad \(5\.0%\)(.|\n)*reviews\.csv, column 'text': empty"
    ) as caught:
        run(tmp_path, spoil, quarantine_share=0.04)
    assert str(tmp_path) not in str(caught.value) and "reports/validation.html" in str(caught.value)
    assert not (tmp_path / "data" / "validated").exists()
    assert "Refused" in (tmp_path / "reports" / "validation.html").read_text(encoding="utf-8")
    assert read_json(tmp_path / "metrics" / "validate.json")["accepted"] is False
    run(tmp_path, spoil, quarantine_share=0.05)
    assert (tmp_path / "data" / "validated" / "train.parquet").is_file()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    params, workspace = make_workspace(tmp_path)
    with pytest.raises(DataError, match=r"data/ingested/manifest\.json does not exist"):
        validate.run(params, workspace)


def test_an_unreadable_table_is_named(tmp_path):
    params, workspace = make_workspace(tmp_path)
    ingest.run(params, workspace)
    (workspace.ingested / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"test\.parquet is not a readable parquet file"):
        validate.run(params, workspace)
    assert not workspace.validated.exists() and not workspace.metrics("validate").exists()
