"""Profiles and settings act on one run, even if it is killed, and a run in a clone leaves the tracked files alone."""

import json
import os
import signal
import subprocess
import time

import pytest

from sparsecbm.pipeline.compose import compose, run_environment
from sparsecbm.pipeline.graph import dvc_command, pending, run_dvc, tool_environment
from tests.support.tiny_pipeline import git


def repro(workspace):
    result = run_dvc(workspace.root, "repro")
    assert result.returncode == 0, result.stdout + result.stderr


def weights(workspace):
    return (workspace.root / "models/dense/weights.txt").read_text()


def test_the_next_run_goes_by_params_yaml_again(tiny_workspace, monkeypatch):
    """A first run with a setting is killed in the middle of a stage, a second one ends, a third has no setting."""
    before = tiny_workspace.params.read_bytes()
    ((name, path),) = run_environment(tiny_workspace, compose(tiny_workspace, [], ["seed=5"]).params).items()
    fault = tiny_workspace.root / "fault"
    fault.write_text("finetune hang")
    process = subprocess.Popen(
        dvc_command("repro"), cwd=tiny_workspace.root, env={**tool_environment(), name: path}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tiny_workspace.root / "pid").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    fault.unlink()
    assert tiny_workspace.params.read_bytes() == before
    assert git(tiny_workspace.root, "status", "--porcelain", "--untracked-files=no") == ""

    monkeypatch.setenv(name, path)
    repro(tiny_workspace)
    assert weights(tiny_workspace) == "seed: 5"
    assert json.loads(tiny_workspace.run_params.read_text())["seed"] == 5
    monkeypatch.delenv(name)
    assert pending(tiny_workspace) == {}, "the outputs and dvc.lock are those of the last run"
    assert "seed: 5" in (tiny_workspace.root / "dvc.lock").read_text()

    repro(tiny_workspace)
    assert weights(tiny_workspace) == "seed: 13"
    assert tiny_workspace.params.read_bytes() == before


def test_a_run_in_a_clone_changes_no_tracked_file(tiny_workspace, tmp_path):
    """DVC refuses a dvc.lock that git ignores, so this one file is new; it is the user's to commit."""
    git(tmp_path, "clone", "--quiet", str(tiny_workspace.root), "clone")
    clone = type(tiny_workspace)(tmp_path / "clone")
    repro(clone)
    assert git(clone.root, "status", "--porcelain") == "?? dvc.lock\n"
    git(clone.root, "add", "dvc.lock")
    git(clone.root, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message", "run")
    repro(clone)
    assert git(clone.root, "status", "--porcelain") == ""

    stage = clone.root / "stage.py"
    stage.write_text(stage.read_text().replace('{"label.accuracy": 0.5,', '{"label.accuracy": 0.75,'))
    assert run_dvc(clone.root, "repro", "--force", "--single-item", "evaluate").returncode == 0
    difference = json.loads(run_dvc(clone.root, "metrics", "diff", "--json").stdout)
    assert difference == {
        "metrics/summary.json": {"evaluate.label.accuracy": {"old": 0.5, "new": 0.75, "diff": 0.25}}
    }  # fmt: skip


@pytest.mark.parametrize("path", ["dvc.lock", "metrics/evaluate.json", "metrics/summary.json", "data/params.json"])
def test_the_project_tracks_no_output_of_a_run(path):
    from tests.support.tiny_pipeline import ROOT

    if not (ROOT / ".git").exists():
        pytest.skip("no git repository")
    assert git(ROOT, "ls-files", "--", path) == ""
