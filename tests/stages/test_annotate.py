"""The stage `annotate`: policies for blank cells, and repeatable bytes."""

import shutil

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.files import read_json
from sparsecbm.data.tables import read_manifest, read_splits
from sparsecbm.stages import annotate, ingest
from tests.support.data_workspace import files_of, make_workspace, source_rows


def run(root, blank: str, column: str = "f"):
    """Annotate a source with three empty cells; its rows are good, so validation would not change them."""
    rows = source_rows()
    for row in (0, 10, 20):
        rows[row][column] = ""
    params, workspace = make_workspace(root, rows, annotate={"annotators": ["human"], "blank": blank})
    ingest.run(params, workspace)
    shutil.copytree(workspace.ingested, workspace.validated)
    annotate.run(params, workspace)
    return workspace


@pytest.mark.parametrize(("blank", "missing"), [("unknown", 0), ("leave_out", 3)])
def test_blank_cells_follow_the_policy_and_keep_their_mark(tmp_path, blank, missing):
    workspace = run(tmp_path, blank)
    frames = read_splits(workspace.annotated).values()
    assert sum(frame["concept.food"].isna().sum() for frame in frames) == missing
    assert sum((frame["source.food"] == "blank").sum() for frame in frames) == 3
    metrics = read_json(workspace.metrics("annotate"))
    assert metrics["blank"] == blank and metrics["annotators"] == ["human"]
    counted = [split["food"] for split in metrics["splits"].values()]
    assert sum(split["missing"] for split in counted) == missing
    assert sum(split["sources"].get("blank", 0) for split in counted) == 3
    assert sum(sum(split["states"].values()) for split in counted) == 60 - missing
    assert read_manifest(workspace.annotated)["blank"] == blank


def test_a_concept_without_unknown_is_an_error_and_writes_nothing(tmp_path):
    with pytest.raises(ConfigError, match=r"concept 'price' are empty"):
        run(tmp_path, "unknown", column="p")
    assert not (tmp_path / "data" / "annotated").exists() and not (tmp_path / "metrics" / "annotate.json").exists()


def test_a_second_run_writes_the_same_bytes(tmp_path):
    one, two = (files_of(run(tmp_path / name, "unknown").annotated) for name in ("one", "two"))
    assert one == two and "train.parquet" in one
