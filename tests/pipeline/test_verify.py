"""Verification compares the bytes of a fresh clone and finds differences."""

import pytest

from sparsecbm.base.errors import ConfigError, SparseCBMError
from sparsecbm.base.files import write_json
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.pipeline.shared_cache import copy_data
from sparsecbm.pipeline.verify import Output, Score, Verdict, compare_locks, compare_scores, reference_file, verify
from tests.support.tiny_pipeline import finish, git, make_tiny_workspace, set_run_seed


def test_a_deterministic_pipeline_agrees(finished_workspace):
    lines = []
    verdict = verify(finished_workspace, lines.append)
    assert verdict.good
    assert [(out.stage, out.path) for out in verdict.outputs] == [
        ("evaluate", "metrics/evaluate.json"),
        ("evaluate", "metrics/summary.json"),
        ("finetune", "metrics/finetune.json"),
        ("finetune", "models/dense"),
        ("ingest", "data/ingested"),
        ("validate", "metrics/validate.json"),
    ]
    assert verdict.scores == (), "there is no reference"
    assert "this is finetune" in lines


def test_a_fresh_clone_has_the_data_that_dvc_has_for_git_and_an_empty_cache(finished_workspace, tmp_path):
    root, clone = finished_workspace.root, tmp_path / "clone"
    (root / "table.csv").write_text("a large table")
    assert run_dvc(root, "add", "table.csv").returncode == 0
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "data")
    git(tmp_path, "clone", "--quiet", str(root), str(clone))
    assert not (clone / "table.csv").exists()
    copy_data(root, clone)
    assert (clone / "table.csv").read_text() == "a large table"
    assert not (clone / ".dvc" / "config.local").exists() and not (clone / ".dvc" / "cache").exists()


def test_a_stage_that_is_not_deterministic_is_found(tmp_path):
    workspace = make_tiny_workspace(tmp_path / "workspace")
    stage = workspace.root / "stage.py"
    stage.write_text(stage.read_text().replace('write("models/dense/weights.txt", f"seed: {seed}")',
                                               'write("models/dense/weights.txt", os.getcwd())'))  # fmt: skip
    git(workspace.root, "commit", "--quiet", "--all", "--message", "impure")
    finish(workspace)
    verdict = verify(workspace, lambda line: None)
    assert not verdict.good
    assert [out.path for out in verdict.outputs if not out.same] == ["models/dense"]


def test_a_workspace_that_a_clone_cannot_reproduce_is_an_error(finished_workspace):
    text = finished_workspace.params.read_text()
    finished_workspace.params.write_text(text.replace("seed: 13", "seed: 14"))
    with pytest.raises(ConfigError, match=r"a clone would lack these uncommitted changes: params\.yaml; commit them"):
        verify(finished_workspace, print)
    git(finished_workspace.root, "commit", "--quiet", "--all", "--message", "seed")
    with pytest.raises(ConfigError, match=r"the last run had other parameters than params\.yaml: seed; run `sparsecbm"):
        verify(finished_workspace, print)
    finished_workspace.params.write_text(text)
    git(finished_workspace.root, "commit", "--quiet", "--all", "--message", "seed as before")
    set_run_seed(finished_workspace, 14)
    with pytest.raises(ConfigError, match=r"out of date: finetune; run `sparsecbm run` first"):
        verify(finished_workspace, print)


def test_a_failure_in_the_clone_is_an_error(finished_workspace):
    stage = finished_workspace.root / "stage.py"
    exclude = finished_workspace.root / ".git" / "info" / "exclude"
    exclude.write_text("local.txt\n")
    (finished_workspace.root / "local.txt").write_text("not committed")
    stage.write_text("open('local.txt')\n" + stage.read_text())
    git(finished_workspace.root, "commit", "--quiet", "--all", "--message", "needs a local file")
    finish(finished_workspace)
    with pytest.raises(SparseCBMError, match="failed in the fresh clone"):
        verify(finished_workspace, lambda line: None)


def test_an_output_missing_from_one_lock_is_a_difference():
    lock = {"stages": {"fit": {"outs": [{"path": "a", "md5": "1"}, {"path": "b", "md5": "2"}]}}}
    other = {"stages": {"fit": {"outs": [{"path": "a", "md5": "1"}]}}}
    assert compare_locks(lock, other) == (Output("fit", "a", "1", "1"), Output("fit", "b", "2", ""))
    assert not Verdict(compare_locks(lock, other), ()).good
    assert Verdict(compare_locks(lock, lock), ()).good


def test_scores_within_the_tolerance_of_the_reference_agree(tiny_workspace):
    assert reference_file(tiny_workspace) == tiny_workspace.root / "reference" / "restaurants.json"
    reference = {"evaluate": {"label.accuracy": 0.5, "concepts.food.macro_f1": 0.25, "label.calibration_error": 0.1}}
    write_json(reference_file(tiny_workspace), reference)
    write_json(
        tiny_workspace.metrics("summary"),
        {"evaluate": {"label.accuracy": 0.52, "concepts.food.macro_f1": 0.29, "label.calibration_error": 0.9}},
    )
    assert [(score.name, score.reference, score.fresh, score.close) for score in compare_scores(tiny_workspace)] == [
        ("evaluate.concepts.food.macro_f1", 0.25, 0.29, False), ("evaluate.label.accuracy", 0.5, 0.52, True),
    ]  # fmt: skip
    write_json(tiny_workspace.metrics("summary"), {})
    assert not any(score.close for score in compare_scores(tiny_workspace))
    assert not Verdict((), (Score("label.accuracy", 0.5, float("nan")),)).good


def test_the_scores_of_other_data_are_not_compared_with_the_reference(tiny_workspace):
    """Control for the test above: restaurants are no yardstick for a table, nor for a profile."""
    write_json(reference_file(tiny_workspace), {"evaluate": {"label.accuracy": 0.5}})
    text = tiny_workspace.params.read_text()
    tiny_workspace.params.write_text(text.replace("profile: null", "profile: sparse-95"))
    write_json(tiny_workspace.metrics("summary"), {"evaluate": {"label.accuracy": 0.9}})
    assert reference_file(tiny_workspace).name == "sparse-95.json"
    assert compare_scores(tiny_workspace) == ()
