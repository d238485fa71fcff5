"""The clone of scheduled runs: at the last commit, apart from edits, sharing the cache; its results come back."""

import subprocess
import sys

import pytest

from flows.clone import CloneError, propose, refresh
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.pipeline.lock import WorkspaceBusyError, flow_lock
from tests.support.tiny_pipeline import git


def test_edits_stay_out_and_results_come_back_as_a_branch(finished_workspace):
    workspace = finished_workspace
    secret = "['remote \"store\"']\n    url = https://example.org\n    password = hunter22\n"
    (workspace.root / ".dvc" / "config.local").write_text(secret)
    (workspace.root / "stage.py").write_text("not committed, and broken")
    clone = refresh(workspace)
    assert clone.root == workspace.state / "scheduled"
    assert "broken" not in (clone.root / "stage.py").read_text()
    local = clone.root / ".dvc" / "config.local"
    assert local.stat().st_mode & 0o077 == 0
    assert "hunter22" in local.read_text()
    assert str(workspace.root / ".dvc" / "cache") in local.read_text()

    result = run_dvc(clone.root, "repro")  # what ran in the workspace is in the cache that both share
    assert result.returncode == 0, result.stderr
    assert "this is finetune" not in result.stdout
    assert (clone.root / "models/dense/weights.txt").read_text() == "seed: 13"
    assert propose(clone) == "nothing to hand back"

    (clone.root / "metrics" / "evaluate.json").write_text("{}")
    (clone.root / "left over").write_text("")
    told = propose(clone)
    assert told.startswith("proposed as branch retrain/")
    branch = told.rpartition(" ")[2]
    assert git(workspace.root, "show", f"{branch}:metrics/evaluate.json") == "{}"
    assert git(workspace.root, "branch", "--show-current").strip() == "main"
    assert "{}" not in (workspace.root / "metrics" / "evaluate.json").read_text()

    git(workspace.root, "commit", "--quiet", "--all", "--message", "it is broken indeed")
    refresh(workspace)
    assert (clone.root / "stage.py").read_text() == "not committed, and broken"
    assert (clone.root / "metrics" / "evaluate.json").read_text() != "{}"
    assert not (clone.root / "left over").exists()
    assert (clone.root / "models").exists()  # outputs stay from run to run


def test_data_goes_to_the_remote_that_is_configured(finished_workspace, tmp_path):
    remote = tmp_path / "remote"
    run_dvc(finished_workspace.root, "remote", "add", "--default", "--local", "store", str(remote))
    clone = refresh(finished_workspace)
    run_dvc(clone.root, "repro")
    assert propose(clone).startswith("pushed to the DVC remote")
    assert any((remote / "files").rglob("*"))
    assert any((remote / "runs").rglob("*"))  # the run cache as well


def test_a_run_at_work_keeps_its_clone(finished_workspace):
    clone = refresh(finished_workspace)
    with flow_lock(clone), pytest.raises(WorkspaceBusyError, match="already running a flow"):
        refresh(finished_workspace)


def test_a_workspace_without_a_commit_is_told(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(CloneError, match="git clone failed"):
        refresh(Workspace(tmp_path))
    result = subprocess.run([sys.executable, "-m", "flows.clone"], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: git clone failed in ")
