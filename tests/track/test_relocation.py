"""A workspace that was copied or moved records into itself, never into the folder that it was copied from."""

import shutil
import sqlite3

import pytest
from mlflow import MlflowClient

from sparsecbm.base.workspace import Workspace
from sparsecbm.track.probe import TrackingUnavailableError
from sparsecbm.track.store import database, open_store


@pytest.fixture
def original(migrated, tmp_path, monkeypatch):
    """Return a workspace with a run, an artifact and a registered version; its path needs percent-encoding."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    workspace = Workspace(tmp_path / "the old one % é")
    workspace.state.mkdir(parents=True)
    shutil.copy(migrated, database(workspace))
    store = open_store(workspace, "e")
    run = store.client.create_run(store.experiment_id)
    # Not by the client: within a process, it keeps the addresses of artifacts.
    folder = workspace.state / "mlartifacts" / run.info.run_id / "artifacts"
    folder.mkdir(parents=True)
    (folder / "note.txt").write_text("old")
    store.client.create_registered_model("m")
    store.client.create_model_version("m", f"{run.info.artifact_uri}/x", run.info.run_id)
    return workspace


def files(workspace):
    return {path.relative_to(workspace.root): path.read_bytes() for path in sorted(workspace.root.rglob("*.txt"))}


def copied(original, tmp_path):
    return Workspace(shutil.copytree(original.root, tmp_path / "copy"))


@pytest.mark.parametrize("moved", [False, True])
def test_a_copy_and_a_moved_workspace_write_into_themselves(original, tmp_path, capsys, moved):
    before, old = files(original), original.root
    workspace = copied(original, tmp_path)
    if moved:
        shutil.rmtree(old)
    store = open_store(workspace, "e")
    assert f"which was copied or moved from {old}\n" in capsys.readouterr().err
    (run,) = store.client.search_runs([store.experiment_id])
    store.client.log_text(run.info.run_id, "new", "note.txt")
    fresh = store.client.create_run(store.experiment_id)
    store.client.log_text(fresh.info.run_id, "fresh", "note.txt")
    assert sorted(files(workspace).values()) == [b"fresh", b"new"]
    assert store.client.get_model_version_download_uri("m", "1") == f"{workspace.state.as_uri()}/mlartifacts/" + (
        f"{run.info.run_id}/artifacts/x"
    )
    if not moved:
        assert files(original) == before
        assert open_store(original, "e").client.search_runs(["1"])[0].info.artifact_uri.startswith(old.as_uri())
    open_store(workspace, "e")
    assert capsys.readouterr().err == ""  # once is enough


def test_a_copy_without_artifacts_is_refused_with_the_remedy(original, tmp_path):
    workspace = copied(original, tmp_path)
    shutil.rmtree(workspace.state / "mlartifacts")
    before = files(original)
    with pytest.raises(
        TrackingUnavailableError, match=r"copied from .*old one.* without the artifacts .*; copy .* to "
    ):
        open_store(workspace, "e")
    assert files(original) == before


def test_a_link_to_the_workspace_and_other_stores_change_nothing(original, tmp_path, monkeypatch, capsys):
    (tmp_path / "link").symlink_to(original.root)
    store = open_store(Workspace(tmp_path / "link"), "e")
    assert store.client.get_experiment("1").artifact_location == f"{original.state.as_uri()}/mlartifacts"
    shutil.copy(database(original), tmp_path / "shared.db")  # somebody keeps the artifacts elsewhere, on purpose
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    assert open_store(original, "e").client.get_experiment("1").artifact_location.startswith(original.state.as_uri())
    assert capsys.readouterr().err == ""


def test_addresses_outside_the_workspace_and_like_names_stay(original, tmp_path):
    client = MlflowClient(f"sqlite:///{database(original)}")
    other = {"s3": "s3://bucket/.sparsecbm/mlartifacts", "like": f"{original.state.as_uri()}/mlartifacts-of-others"}
    for name, location in other.items():
        client.create_experiment(name, location)
    store = open_store(copied(original, tmp_path), "e")
    for name, location in other.items():
        assert store.client.get_experiment_by_name(name).artifact_location == location


def test_a_database_that_cannot_be_written_is_one_message(original, tmp_path, monkeypatch):
    workspace = copied(original, tmp_path)
    monkeypatch.setattr("sparsecbm.track.relocation.WAIT_SECONDS", 0.1)
    with sqlite3.connect(database(workspace)) as holder:
        holder.execute("begin immediate")
        with pytest.raises(
            TrackingUnavailableError, match="still names the old place and cannot be written: database is"
        ):
            open_store(workspace, "e")
        holder.rollback()
    holder.close()
    assert open_store(workspace, "e").client.get_experiment("1").artifact_location.startswith(workspace.state.as_uri())
