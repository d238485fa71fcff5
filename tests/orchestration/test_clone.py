"""The clone of scheduled runs has the last commit, no edits and a shared cache, and proposes its results."""

import shutil
import subprocess
import sys

import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.clone import CloneError, propose_results, refresh_clone
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.pipeline.lock import WorkspaceBusyError, flow_lock
from tests.support.tiny_pipeline import add_flows, git


def test_the_clone_has_no_edits_and_proposes_results_as_a_branch(finished_workspace):
    workspace = finished_workspace
    secret = "['remote \"store\"']\n    url = https://example.org\n    password = hunter22\n"
    (workspace.root / ".dvc" / "config.local").write_text(secret)
    (workspace.root / "stage.py").write_text("not committed, and broken")
    clone = refresh_clone(workspace)
    assert clone.root == workspace.state / "scheduled"
    assert "broken" not in (clone.root / "stage.py").read_text()
    local = clone.root / ".dvc" / "config.local"
    assert local.stat().st_mode & 0o077 == 0
    assert "hunter22" in local.read_text()
    assert str(workspace.root / ".dvc" / "cache") in local.read_text()

    result = run_dvc(clone.root, "repro")  # both use the same cache, so nothing runs again
    assert result.returncode == 0, result.stderr
    assert "this is finetune" not in result.stdout
    assert (clone.root / "models/dense/weights.txt").read_text() == "seed: 13"
    assert propose_results(clone) == "no results to propose"

    lock = (clone.root / "dvc.lock").read_text()
    (clone.root / "dvc.lock").write_text(f"{lock}# another run\n")
    (clone.root / "left over").write_text("")
    message = propose_results(clone)
    assert message.startswith("proposed as branch retrain/")
    branch = message.rpartition(" ")[2]
    assert git(workspace.root, "show", f"{branch}:dvc.lock") == f"{lock}# another run\n"
    assert git(clone.root, "diff", "--name-only", "HEAD") == "dvc.lock\n", "the clone stays at its commit"
    assert git(workspace.root, "diff", "--name-only", "HEAD", branch) == "dvc.lock\n"
    assert git(workspace.root, "branch", "--show-current").strip() == "main"
    assert (workspace.root / "dvc.lock").read_text() == lock

    git(workspace.root, "commit", "--quiet", "--all", "--message", "it is broken indeed")
    refresh_clone(workspace)
    assert (clone.root / "stage.py").read_text() == "not committed, and broken"
    assert (clone.root / "dvc.lock").read_text() == lock
    assert not (clone.root / "left over").exists()
    assert (clone.root / "models").exists()  # outputs stay between runs


def test_data_is_pushed_to_the_configured_remote(finished_workspace, tmp_path):
    remote = tmp_path / "remote"
    run_dvc(finished_workspace.root, "remote", "add", "--default", "--local", "store", str(remote))
    clone = refresh_clone(finished_workspace)
    run_dvc(clone.root, "repro")
    assert propose_results(clone).startswith("pushed to the DVC remote")
    assert any((remote / "files").rglob("*"))
    assert any((remote / "runs").rglob("*"))  # the run cache is pushed, too


def test_data_that_dvc_has_for_git_is_in_the_clone(finished_workspace):
    root = finished_workspace.root
    (root / "table.csv").write_text("a large table")
    assert run_dvc(root, "add", "table.csv").returncode == 0
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "data")
    clone = refresh_clone(finished_workspace)
    assert (clone.root / "table.csv").read_text() == "a large table"
    assert (refresh_clone(finished_workspace).root / "table.csv").is_file(), "it stays when the clone is refreshed"
    shutil.rmtree(root / ".dvc" / "cache")
    (clone.root / "table.csv").unlink()
    with pytest.raises(DataError, match=r"DVC cannot restore table\.csv\.dvc in a clone: .*run `dvc pull`"):
        refresh_clone(finished_workspace)


def test_the_clone_of_a_running_flow_is_busy(finished_workspace):
    clone = refresh_clone(finished_workspace)
    with flow_lock(clone), pytest.raises(WorkspaceBusyError, match="already running a flow"):
        refresh_clone(finished_workspace)


def test_a_workspace_without_a_commit_is_an_error(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(CloneError, match="git clone failed"):
        refresh_clone(Workspace(tmp_path))
    add_flows(Workspace(tmp_path))
    result = subprocess.run(
        [sys.executable, "-m", "sparsecbm.orchestration.clone"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: git clone failed in ")


@pytest.mark.slow
def test_a_remote_that_is_gone_loses_nothing(finished_workspace, tmp_path):
    remote = tmp_path / "remote"
    remote.write_text("another disk should be mounted here")
    run_dvc(finished_workspace.root, "remote", "add", "--default", "--local", "store", str(remote))
    clone = refresh_clone(finished_workspace)
    run_dvc(clone.root, "repro")
    with pytest.raises(CloneError, match="dvc push failed"):
        propose_results(clone)
    remote.unlink()
    assert propose_results(clone).startswith("pushed to the DVC remote")
    assert any((remote / "files").rglob("*"))
