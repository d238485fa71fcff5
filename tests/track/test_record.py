"""The record in MLflow is complete, has one run per lock and includes live curves; a server may be down."""

import json
import shutil
import socket
from pathlib import Path

import pytest

from sparsecbm.base.files import sha256_file
from sparsecbm.base.params import load_params, write_params
from sparsecbm.pipeline.keys import stage_key
from sparsecbm.track import live, probe
from sparsecbm.track.lineage import code_tags
from sparsecbm.track.live import live_run
from sparsecbm.track.record import record
from sparsecbm.track.store import TrackingUnavailableError, database, open_store
from tests.support.tiny_pipeline import git, set_run_seed


@pytest.fixture
def workspace(finished_workspace, migrated, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SPARSECBM_FLOW_RUN_ID", raising=False)
    finished_workspace.state.mkdir(exist_ok=True)
    shutil.copy(migrated, database(finished_workspace))
    return finished_workspace


@pytest.fixture
def params(workspace):
    return load_params(workspace.params)


def runs(workspace):
    opened = open_store(workspace, "sparsecbm")
    return opened.client.search_runs([opened.experiment_id])


def steps(workspace, run_id, name):
    return [point.step for point in open_store(workspace, "sparsecbm").client.get_metric_history(run_id, name)]


def test_a_record_is_complete(workspace, params, monkeypatch):
    monkeypatch.setenv("SPARSECBM_FLOW_RUN_ID", "flow-1")
    link = record(workspace, params)
    assert link.written
    (run,) = runs(workspace)
    assert run.info.run_id == link.run_id
    assert run.info.status == "FINISHED"
    assert run.info.run_name == link.name == f"restaurants {sha256_file(workspace.root / 'dvc.lock')[:8]}"
    assert link.url.endswith(f"/runs/{link.run_id}")

    assert run.data.params["finetune.epochs"] == str(params.finetune.epochs)
    assert run.data.params["source.name"] == "restaurants"
    assert run.data.metrics["evaluate/label.accuracy"] == 0.5
    assert run.data.metrics["evaluate/concepts.food.accuracy"] == 0.25
    assert run.data.metrics["evaluate/validation/label.accuracy"] == 0.75
    assert not any("confusion" in name or "interval" in name for name in run.data.metrics)
    assert not any("splits" in name for name in run.data.metrics)
    assert steps(workspace, link.run_id, "finetune/loss") == [10, 20]
    assert steps(workspace, link.run_id, "finetune/validation.label.accuracy") == [20]

    tags = run.data.tags
    assert tags["dvc.lock.sha256"] == sha256_file(workspace.root / "dvc.lock")
    assert tags["git.commit"] == git(workspace.root, "rev-parse", "HEAD").strip()
    assert tags["git.dirty"] == "false"
    assert len(tags["data.sha256"]) == 64
    assert tags["prefect.flow_run_id"] == "flow-1"
    assert tags["sparsecbm.finetune.key"] == stage_key(workspace, "finetune")

    client = open_store(workspace, "sparsecbm").client
    assert {file.path for file in client.list_artifacts(link.run_id)} == {
        "metrics", "models", "params.json", "params.yaml", "dvc.yaml", "dvc.lock",
    }  # fmt: skip
    assert {name.rpartition("/")[0] for name in run.data.metrics} == {"evaluate", "evaluate/validation", "finetune"}
    assert "metrics/validate.json" in {file.path for file in client.list_artifacts(link.run_id, "metrics")}
    assert tags["mlflow.note.content"].splitlines()[-1] == "| label | 0.500 | 0.400 to 0.600 | 0.250 |  |"

    checkpoint = client.download_artifacts(link.run_id, "models/dense/weights.txt")
    assert Path(checkpoint).read_text() == "seed: 13"


def test_the_description_names_the_path_of_the_report(workspace, params):
    workspace.report.parent.mkdir(exist_ok=True)
    workspace.report.write_text("<!doctype html>")
    link = record(workspace, params)
    (run,) = runs(workspace)
    note = run.data.tags["mlflow.note.content"].splitlines()
    assert note[-3:-1] == ["| label | 0.500 | 0.400 to 0.600 | 0.250 |  |", ""]
    assert note[-1] == "The whole report is among the artifacts: `reports/index.html`"
    artifacts = open_store(workspace, "sparsecbm").client.list_artifacts(link.run_id, "reports")
    assert [file.path for file in artifacts] == ["reports/index.html"]


def test_the_same_lock_gives_the_same_run_and_another_lock_another(workspace, params):
    first = record(workspace, params)
    again = record(workspace, params)
    assert (again.run_id, again.written) == (first.run_id, False)
    lock = workspace.root / "dvc.lock"
    lock.write_text(lock.read_text() + "# the same, with other bytes\n")
    other = record(workspace, params)
    assert other.written
    assert other.run_id != first.run_id
    assert len(runs(workspace)) == 2


def test_an_interrupted_record_is_completed_without_writing_points_twice(workspace, params):
    first = record(workspace, params)
    open_store(workspace, "sparsecbm").client.delete_tag(first.run_id, "sparsecbm.record")
    again = record(workspace, params)
    assert (again.run_id, again.written) == (first.run_id, True)
    assert steps(workspace, first.run_id, "finetune/loss") == [10, 20]
    assert len(runs(workspace)) == 1


def test_an_unfinished_pipeline_is_not_recorded(workspace, params):
    set_run_seed(workspace, 14)
    assert record(workspace, params) is None
    assert runs(workspace) == []


def test_outputs_of_a_run_do_not_make_it_dirty(workspace):
    (workspace.root / "dvc.lock").write_text("schema: '2.0'\n")
    (workspace.root / "metrics").mkdir(exist_ok=True)
    (workspace.root / "metrics" / "more.json").write_text("{}")
    assert code_tags(workspace)["git.dirty"] == "false"
    (workspace.root / "more.py").write_text("")
    assert code_tags(workspace)["git.dirty"] == "true"


def test_uncommitted_files_make_a_run_dirty(workspace, params):
    (workspace.root / "stage2.py").write_text("")
    record(workspace, params)
    assert runs(workspace)[0].data.tags["git.dirty"] == "true"


def test_training_stages_use_one_run_until_its_record_is_written(tiny_workspace):
    workspace, params = tiny_workspace, load_params(tiny_workspace.params)
    graph = workspace.root / "dvc.yaml"
    graph.write_text(graph.read_text() + "  prune:\n    cmd: python stage.py prune\n    params: [prune]\n")
    (workspace.root / "data" / "ingested").mkdir(parents=True)
    write_params(workspace.run_params, params)
    for stage, figure in (("finetune", 1.0), ("prune", 0.5)):
        with live_run(params, workspace, stage) as log:
            log(10, {"loss": figure})
            log.files(workspace.root / ".dvc", "masks")
    (run,) = runs(workspace)
    assert (run.data.metrics["finetune/loss"], run.data.metrics["prune/loss"]) == (1.0, 0.5)
    artifacts = open_store(workspace, params.track.experiment).client.list_artifacts(run.info.run_id, "masks")
    assert "masks/config" in {artifact.path for artifact in artifacts}
    assert {f"sparsecbm.{stage}.key" for stage in ("finetune", "prune")} <= set(run.data.tags)


def test_the_record_includes_live_curves_and_fills_their_gaps(workspace, params):
    with live_run(params, workspace, "finetune") as log:
        log(10, {"loss": 0.1, "epoch": 1.0})
    (run,) = runs(workspace)
    assert set(run.data.metrics) == {"finetune/loss", "finetune/epoch"}
    assert run.info.status == "FINISHED"
    assert run.data.params["seed"] == "13"
    assert run.data.tags["sparsecbm.finetune.key"] == stage_key(workspace, "finetune")
    link = record(workspace, params)
    assert link.run_id == run.info.run_id
    assert steps(workspace, link.run_id, "finetune/loss") == [10, 20]
    assert {name for name in runs(workspace)[0].data.metrics if "loss" in name} == {"finetune/loss"}
    assert len(runs(workspace)) == 1


def test_an_interrupted_stage_continues_in_its_run(workspace, params):
    with pytest.raises(KeyboardInterrupt), live_run(params, workspace, "finetune") as log:
        log(10, {"loss": 0.5})
        log(20, {"loss": 0.4})
        raise KeyboardInterrupt
    (run,) = runs(workspace)
    assert run.info.status == "KILLED"
    with live_run(params, workspace, "finetune") as log:
        assert runs(workspace)[0].info.status == "RUNNING"
        log(20, {"loss": 0.4})  # starting at the last checkpoint
        log(30, {"loss": 0.3})
    assert steps(workspace, run.info.run_id, "finetune/loss") == [10, 20, 30]
    assert [each.info.status for each in runs(workspace)] == ["FINISHED"]


def test_other_inputs_start_another_live_run(workspace, params):
    with live_run(params, workspace, "finetune") as log:
        log(1, {"loss": 1.0})
    set_run_seed(workspace, 14)
    with live_run(load_params(workspace.params), workspace, "finetune") as log:
        log(1, {"loss": 2.0})
    assert sorted(run.data.metrics["finetune/loss"] for run in runs(workspace)) == [1.0, 2.0]


def test_disabled_tracking_opens_no_connection(workspace, params):
    shutil.rmtree(workspace.state)
    off = params.model_copy(update={"track": params.track.model_copy(update={"enabled": False})})
    with live_run(off, workspace, "finetune") as log:
        log(1, {"loss": 1.0})
    assert not workspace.state.exists()


def test_a_server_that_is_down_gives_one_message_and_training_continues(workspace, params, monkeypatch, capsys):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    trained = []
    with live_run(params, workspace, "finetune") as log:
        for step in range(3):
            log(step, {"loss": 1.0})
            trained.append(step)
    assert trained == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"MLflow at {uri} does not answer")
    assert lines[0].endswith("training continues, `sparsecbm track` writes the record later")
    with pytest.raises(TrackingUnavailableError, match="does not answer"):
        record(workspace, params)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert record(workspace, params).written


def test_a_server_that_never_answers_counts_as_down(workspace, params, monkeypatch):
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(TrackingUnavailableError, match="does not answer"):
            open_store(workspace, "sparsecbm")


def test_a_store_that_fails_during_training_is_not_called_again(workspace, params, monkeypatch, capsys):
    calls = []

    def broken(*_):
        calls.append(1)
        raise RuntimeError("connection lost\nat some line")

    monkeypatch.setattr(live, "add_points", broken)
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0)
    with live_run(params, workspace, "finetune") as log:
        for step in range(5):
            log(step, {"loss": 1.0})
    assert calls == [1]
    assert capsys.readouterr().err == (
        "MLflow failed: connection lost; training continues, `sparsecbm track` writes the record later\n"
    )


def test_an_error_in_training_is_raised(workspace, params):
    with pytest.raises(ValueError, match="mine"), live_run(params, workspace, "finetune"):
        raise ValueError("mine")


def test_the_error_names_a_broken_database(workspace, params):
    Path(database(workspace)).write_bytes(b"no database" * 100)
    with pytest.raises(TrackingUnavailableError, match=r"mlflow\.db cannot be opened .*: put a backup back"):
        record(workspace, params)


def test_metrics_may_have_any_concept_name(workspace, params):
    path = workspace.metrics("evaluate")
    path.write_text(json.dumps({"concepts": {"food & drink": {"accuracy": 1}}}))
    (workspace.root / "dvc.yaml").write_text((workspace.root / "dvc.yaml").read_text().split("  evaluate:")[0])
    record(workspace, params)
    assert runs(workspace)[0].data.metrics["evaluate/concepts.food _ drink.accuracy"] == 1


def test_long_and_colliding_names_of_concepts_are_recorded_with_all_their_figures(workspace, params):
    question = "How satisfied were you with the time that passed until the goods arrived? " * 5
    names = [
        question,
        "service/quality",
        "service_quality",
        "service.quality",
        "[bold]x[/bold] <i>",
        "العربية",
        "..",
        "a" * 249,
    ]
    scores = {name: {"accuracy": number / 10} for number, name in enumerate(names)}
    pairs = {name: dict.fromkeys(names, 0.5) for name in names}
    workspace.metrics("evaluate").write_text(json.dumps({"concepts": scores, "overlap": pairs}))
    (workspace.root / "dvc.yaml").write_text((workspace.root / "dvc.yaml").read_text().split("  evaluate:")[0])
    record(workspace, params)
    metrics = runs(workspace)[0].data.metrics
    values = {name: value for name, value in metrics.items() if name.startswith("evaluate/concepts.")}
    assert sorted(values.values()) == [number / 10 for number in range(len(names))]
    assert metrics["evaluate/concepts.service_quality.accuracy"] == 0.2
    assert max(map(len, metrics)) <= 250
    assert sum(name.startswith("evaluate/overlap.") for name in metrics) == len(names) ** 2
