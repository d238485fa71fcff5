"""The flow `annotate`: machines label what lacks a label, and what they gave is kept whatever ends the run."""

import subprocess

import pytest

from sparsecbm.annotate.annotator import IncompleteError
from sparsecbm.annotate.concept_file import ConceptDefinition, ConceptFile, write_concept_file
from sparsecbm.annotate.labels import label_table, read_labels, text_key
from sparsecbm.annotate.registry import ANNOTATORS
from sparsecbm.base.params import write_params
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.stages import ingest, validate
from tests.support.counting_annotator import CountingAnnotator
from tests.support.data_workspace import make_workspace, source_rows

FOOD = ConceptDefinition("food", "", {"Negative": "Bad.", "Positive": "Good.", "unknown": "Nothing."})


@pytest.fixture
def annotator(monkeypatch):
    annotator = CountingAnnotator(name="llm")
    monkeypatch.setitem(ANNOTATORS, "llm", lambda params, workspace: annotator)
    return annotator


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the flow in a workspace whose texts are checked already."""
    rows = source_rows()
    params, workspace = make_workspace(tmp_path / "ws", rows, annotate={"annotators": ["human", "llm"], "shards": 3})
    subprocess.run(["git", "init", "--quiet"], cwd=workspace.root, check=True)
    run_dvc(workspace.root, "init", "--quiet")
    ingest.run(params, workspace)
    validate.run(params, workspace)
    write_params(workspace.root / "params.json", params)
    (workspace.root / "params.json").rename(workspace.params)  # JSON is YAML
    write_concept_file(workspace.concept_file, ConceptFile("Reviews", (FOOD,)))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    from flows import annotate as module
    from sparsecbm.orchestration.calls import without_server

    monkeypatch.setattr(module, "stage_order", lambda workspace, targets: ())

    def call(**options):
        with without_server():
            return module.annotate.fn(root=str(workspace.root), **options)

    call.workspace = workspace
    return call


def test_all_texts_are_labelled_once_and_dvc_versions_the_table(run, annotator):
    state = run()
    assert state.is_completed(), state.message
    table = read_labels(run.workspace.annotations / "llm.parquet")
    assert len(table) == 60 and set(annotator.asked.values()) == {1}
    assert (run.workspace.annotations / "llm.parquet.dvc").is_file()
    assert run().is_completed() and set(annotator.asked.values()) == {1}


def test_a_dry_run_labels_nothing_and_counts_what_is_missing(run, annotator, capsys):
    assert run(dry_run=True).is_completed()
    assert "llm: to label: 60 of 60 cells (a text and a concept) of 60 of 60 texts" in capsys.readouterr().out
    assert not annotator.asked and not (run.workspace.annotations / "llm.parquet").exists()


def test_an_early_stop_is_a_failure_that_keeps_what_is_paid(run, annotator, capsys):
    text = source_rows()[0]["comment"]
    row = {"key": text_key(text), "concept": "food", "state": "Positive", "definition": FOOD.hash, "prompt": "v1"}
    annotator.fails = [IncompleteError("the budget is spent; 59 texts remain", label_table([row]))] * 3
    state = run()
    assert not state.is_completed() and "the budget is spent; 59 texts remain" in state.message
    assert len(read_labels(run.workspace.annotations / "llm.parquet")) == 1
    assert (run.workspace.annotations / "llm.parquet.dvc").is_file()
    annotator.fails.clear()
    assert run().is_completed() and len(annotator.asked) == 59


def test_an_unknown_machine_and_missing_definitions_are_refused(run, annotator):
    refused = run(annotators=["local"])
    assert refused.message == "error: unknown annotator 'local'. Did you mean 'llm'? Choices: llm"
    run.workspace.concept_file.unlink()
    assert "`sparsecbm concepts suggest` proposes some" in run().message
    assert not annotator.asked
