"""`sparsecbm drift`: its output, its page, its exit codes, and its memory of windows."""

import json

import jsonschema
import pytest

from sparsecbm.base.files import read_json
from sparsecbm.cli import drift as command
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.data.tables import write_splits
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_pipeline import ROOT
from tests.support.tiny_tables import annotated

OTHER = "dull pretty spare1 quick a loud place but the ramen was superb superb superb"


@pytest.fixture
def workspace(lively, tmp_path, monkeypatch):
    """Return the folder of a workspace with annotated data, a model, and two tables for each kind of window."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    params = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(
        params.replace("threads: 2", "threads: 1").replace("permutations: 999", "permutations: 199")
    )
    splits = {"train": annotated(40, 1), "test": annotated(150, 2)}
    write_splits(tmp_path / "data" / "annotated", splits, {"source": "tiny", "vocabulary": CONCEPTS.to_dict()})
    lively.save_pretrained(tmp_path / "models" / "sparse")
    for number in (1, 2):
        annotated(120, 10 + number)[["text"]].to_csv(tmp_path / f"fair-{number}.csv", index=False)
        other = annotated(120, 20 + number)["text"] + f" {OTHER}"
        other.to_frame("body").to_csv(tmp_path / f"other-{number}.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_texts_like_the_old_ones_do_not_drift(workspace, sparsecbm):
    code, out, _ = sparsecbm("drift", "fair-1.csv")
    assert (code, out.splitlines()[-1]) == (0, "no drift in 120 texts")
    code, out, _ = sparsecbm("drift", "fair-2.csv", "--json")
    report = json.loads(out)
    jsonschema.validate(report, json_schemas()["drift"])
    assert (code, report["texts"], report["reference_texts"], report["windows"]) == (0, 120, 150, 2)
    assert [failure["state"] for failure in report["failures"]] == ["not found", "not tested", "not tested"]


def test_two_windows_of_other_texts_trigger(workspace, sparsecbm):
    code, out, _ = sparsecbm("drift", "other-1.csv", "--column", "body")
    assert (code, out.splitlines()[-1]) == (0, "this window drifts; 2 windows running trigger")
    assert sparsecbm("drift", "other-1.csv", "--column", "body")[0] == 0, "the same table is no second window"
    code, out, _ = sparsecbm("drift", "other-2.csv", "--column", "body", "--output", "drift.html")
    assert code == command.TRIGGERED
    assert "triggered: " in out and "vocabulary: texts" in out.rpartition("triggered: ")[2]
    page = (workspace / "drift.html").read_text()
    assert page.startswith("<!doctype html>") and "Triggered: " in page and "http" not in page.replace("http-equiv", "")
    assert len(read_json(workspace / ".sparsecbm" / "drift" / "windows.json")["windows"]) == 2
    # A page of its own may be replaced, and any other file may not.
    assert sparsecbm("drift", "fair-1.csv", "--output", "drift.html")[0] == 0
    code, _, error = sparsecbm("drift", "fair-1.csv", "--output", "fair-2.csv")
    assert code == 1 and "fair-2.csv: it exists and does not hold a page about drift" in error


def test_the_reference_is_computed_once_for_each_model(workspace, sparsecbm, monkeypatch):
    from sparsecbm.drift import reference

    built = []
    build = reference.build_reference
    monkeypatch.setattr(reference, "build_reference", lambda *given: built.append(1) or build(*given))
    for number in (1, 2, 1):
        assert sparsecbm("drift", f"fair-{number}.csv")[0] == 0
    assert len(built) == 1
    (workspace / "params.yaml").write_text(
        (workspace / "params.yaml").read_text().replace("sample: 800", "sample: 200")
    )
    assert sparsecbm("drift", "fair-1.csv")[0] == 0
    assert len(built) == 2


def test_a_trigger_is_announced_and_a_failed_announcement_is_an_error(workspace, sparsecbm, monkeypatch):
    from sparsecbm.cli import flow_process

    calls, codes = [], iter([0, 1])
    monkeypatch.setattr(flow_process, "run_module", lambda _, *given: calls.append(given) or next(codes))
    assert sparsecbm("drift", "other-1.csv", "--column", "body", "--announce")[0] == 0 and calls == []
    assert sparsecbm("drift", "other-2.csv", "--column", "body", "--announce")[0] == command.TRIGGERED
    assert calls[0][0] == "sparsecbm.orchestration.drift_event" and "vocabulary: texts" in calls[0]
    assert sparsecbm("drift", "other-2.csv", "--column", "body", "--announce")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.csv"], "gone.csv is no file"),
        (["fair-1.csv", "--column", "body"], "has no column 'body'"),
        (["fair-1.csv", "--model", "models/none"], "models/none"),
    ],
)
def test_a_fault_is_one_message(workspace, sparsecbm, arguments, message):
    code, _, error = sparsecbm("drift", *arguments)
    assert code == 1 and message in error and "Traceback" not in error
    assert not (workspace / ".sparsecbm" / "drift" / "windows.json").exists()
