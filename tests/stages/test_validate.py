"""The stage `validate`: quarantine, repeatable bytes, and the files after a refusal."""

import pytest
import yaml

from sparsecbm.base.errors import DataError, RefusedDataError
from sparsecbm.base.files import read_json, read_parquet, write_text
from sparsecbm.data.tables import read_manifest, read_split, read_splits
from sparsecbm.stages import ingest, validate
from sparsecbm.stages.__main__ import main
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


def test_bad_rows_go_to_quarantine_and_the_rest_passes(tmp_path):
    workspace = run(tmp_path, [(4, "comment", " "), (7, "f", "postive")])
    quarantine = read_parquet(workspace.validated / "quarantine.parquet")
    assert sorted(quarantine["row"]) == [5, 8]
    assert sum(len(frame) for frame in read_splits(workspace.validated).values()) == 58
    report = read_json(workspace.metrics("validate"))
    assert report["accepted"] and sum(rows["quarantined"] for rows in report["rows"].values()) == 2
    manifest = read_manifest(workspace.validated)
    assert manifest["vocabulary"] == read_manifest(workspace.ingested)["vocabulary"]
    assert len(read_split(workspace.validated, "train")) == manifest["splits"][0]["rows"]


def test_warnings_are_counted_on_the_terminal(tmp_path, capsys):
    run(tmp_path / "none")
    assert "warning" not in capsys.readouterr().out
    run(tmp_path / "some", [(4, "comment", "The soup was nice, donâ€™t you think, and the bread, too.")])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert line == "1 warning(s), in reports/validation.html: decoding 1"


def test_without_bad_rows_the_quarantine_is_an_empty_table(tmp_path):
    none = read_parquet(run(tmp_path / "a").validated / "quarantine.parquet")
    some = read_parquet(run(tmp_path / "b", [(4, "comment", " ")]).validated / "quarantine.parquet")
    assert len(none) == 0 and list(none.columns) == list(some.columns) and none.dtypes.equals(some.dtypes)


def test_a_second_run_writes_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        run(tmp_path / name, [(4, "comment", "")])
    one, two = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    assert one == two
    assert {"metrics/validate.json", "data/validated/quarantine.parquet"} <= set(one)
    assert not any(name.startswith("reports") for name in one), "no stage before `report` draws"


SPOILED = [(row, "comment", " ") for row in range(3)]


def test_too_many_bad_rows_fail_the_stage_and_write_no_tables(tmp_path):
    with pytest.raises(
        RefusedDataError, match=r"3 of 60 rows are bad \(5\.0%\)(.|\n)*reviews\.csv, column 'text': empty"
    ) as caught:
        run(tmp_path, SPOILED, quarantine_share=0.04)
    assert len(caught.value.result.quarantine) == 3
    assert not (tmp_path / "data" / "validated").exists()
    assert read_json(tmp_path / "metrics" / "validate.json")["accepted"] is False
    run(tmp_path, SPOILED, quarantine_share=0.05)
    assert (tmp_path / "data" / "validated" / "train.parquet").is_file()


def test_the_page_is_written_for_refused_data_and_again_for_repaired_ones(tmp_path, monkeypatch, capsys):
    """The stage `report` does not run after a refusal, and runs much later after a repair."""
    rows = source_rows()
    for row, column, value in SPOILED:
        rows[row][column] = value
    params, workspace = make_workspace(tmp_path, rows, validate=LIMITS | {"quarantine_share": 0.04})
    ingest.run(params, workspace)
    write_text(workspace.params, yaml.safe_dump(params.model_dump(mode="json", by_alias=True)))
    write_text(tmp_path / "dvc.yaml", "stages: {}\n")
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: 3 of 60 rows are bad (5.0%)") and str(tmp_path) not in message
    assert message.endswith("All bad rows are listed in reports/validation.html\n")
    page = workspace.validation_page.read_text(encoding="utf-8")
    assert "Refused" in page and page.count("empty: text is white space") == 3
    accepted = params.model_copy(update={"validate_": params.validate_.model_copy(update={"quarantine_share": 0.05})})
    ingest.run(accepted, workspace)
    assert main(["validate"]) == 0
    page = workspace.validation_page.read_text(encoding="utf-8")
    assert "Refused" not in page and page.count("empty: text is white space") == 3


def test_the_error_names_a_missing_folder(tmp_path):
    params, workspace = make_workspace(tmp_path)
    with pytest.raises(DataError, match=r"data/ingested/manifest\.json does not exist"):
        validate.run(params, workspace)


def test_the_error_names_an_unreadable_table(tmp_path):
    params, workspace = make_workspace(tmp_path)
    ingest.run(params, workspace)
    (workspace.ingested / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"test\.parquet is not a readable parquet file"):
        validate.run(params, workspace)
    assert not workspace.validated.exists() and not workspace.metrics("validate").exists()
