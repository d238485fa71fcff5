"""What an erasure cannot clear is listed with the commands that do; run as they stand, they clear it."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from sparsecbm.base.files import sha256_file
from sparsecbm.base.params import load_params, write_params
from sparsecbm.erasure.elsewhere import find_copies
from sparsecbm.erasure.subject import Subject
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.track.runs import create_run
from sparsecbm.track.store import open_store
from tests.support.data_workspace import make_workspace
from tests.support.review_workspace import CONCEPTS
from tests.support.tiny_pipeline import git

TEXT = "the zanzibar soup was brought by a waiter who sang"
SUBJECT = Subject(("reviews-1",), (TEXT,))


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Return a workspace with git and a small table; `params.yaml` is in place."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    params, workspace = make_workspace(tmp_path / "workspace")
    write_params(workspace.root / "params.yaml", params)
    git(workspace.root, "init", "--quiet")
    for name, value in (("user.name", "test"), ("user.email", "test@example.org")):
        git(workspace.root, "config", name, value)
    return workspace


def copies(workspace):
    return find_copies(workspace, load_params(workspace.params), SUBJECT, [])


def test_nothing_is_listed_where_nothing_holds_the_text(workspace):
    assert copies(workspace) == []


def test_commits_that_added_or_removed_the_text(workspace):
    file = workspace.root / "notes.txt"
    for number, content in enumerate(("nothing", TEXT, "nothing")):
        file.write_text(content)
        git(workspace.root, "add", "notes.txt")
        git(workspace.root, "commit", "--quiet", "--message", f"commit {number}")
    assert [copy.where.partition(" ")[0] for copy in copies(workspace)] == ["git", "git"]
    assert [copy.where[-8:] for copy in copies(workspace)] == ["commit 2", "commit 1"]


def test_files_of_nobody_and_examples_of_concepts(workspace):
    from sparsecbm.annotate.concept_file import ConceptFile, write_concept_file

    food = CONCEPTS[0]
    example = "the zanzibar soup"
    examples = ((example, next(iter(food.states))),)
    write_concept_file(workspace.concept_file, ConceptFile("Reviews", (replace(food, examples=examples),)))
    file = workspace.root / "my notes.txt"
    file.write_text(TEXT)
    concept, notes = copies(workspace)
    assert concept.where == f"concepts.yaml, an example of concept 'food': {example!r}"
    assert notes.where == "my notes.txt"
    subprocess.run(notes.remedy.partition(", or")[0], shell=True, check=True)
    assert not file.exists()


def test_a_source_from_which_rows_cannot_be_taken_is_told(workspace):
    file = workspace.root / "raw" / "reviews.csv"
    params = load_params(workspace.params)
    file.write_text(file.read_text() + f"{TEXT}\n")
    assert copies(workspace) == []  # it is cleared by the erasure itself
    file.write_text(file.read_text(), encoding="iso2022_jp_2")  # which may return to ASCII at any place
    file.write_bytes(file.read_bytes() + b"\x1b(B")
    form = params.source.format.model_copy(update={"encoding": "iso2022_jp_2"})
    source = params.source.model_copy(update={"format": form})
    write_params(workspace.params, params.model_copy(update={"source": source}))
    (copy,) = copies(workspace)
    assert copy.where == f"the source {file}" and copy.certain


def test_files_of_the_cache_and_of_a_remote(workspace, tmp_path):
    root = workspace.root
    run_dvc(root, "init", "--quiet")
    run_dvc(root, "remote", "add", "--default", "backup", str(tmp_path / "remote"))
    (root / "data").mkdir()
    (root / "data" / "a.txt").write_text(TEXT)
    (root / "data" / "b.txt").write_text("another text")
    assert run_dvc(root, "add", "data").returncode == 0
    git(root, "add", "data.dvc")
    git(root, "commit", "--quiet", "--message", "add data")
    assert run_dvc(root, "push").returncode == 0
    shutil.rmtree(root / "data")
    found = copies(workspace)
    kinds = [copy.where.split()[:2] for copy in found]
    assert kinds == [["DVC", "cache"]] * 2 + [["git", "commit"]] + [["DVC", "remote"]] * 2
    for copy in found:
        if copy.remedy.startswith("rm "):
            subprocess.run(copy.remedy, shell=True, check=True)
    assert copies(workspace) == []
    cached = [path for path in (root / ".dvc" / "cache" / "files" / "md5").rglob("*") if path.is_file()]
    assert [path.read_text() for path in cached] == ["another text"]


def test_runs_of_mlflow(workspace, migrated):
    workspace.state.mkdir()
    shutil.copy(migrated, workspace.state / "mlflow.db")
    store = open_store(workspace, "sparsecbm")
    runs = [create_run(store, name, {}) for name in ("with", "without")]
    for run, text in zip(runs, (TEXT, "another text"), strict=True):
        page = workspace.root / "index.html"
        page.write_text(f"<!doctype html><p>{text.replace(' ', ' <b>', 1)}</b></p>")
        store.client.log_artifact(run, str(page), "reports")
        page.unlink()
    before = sha256_file(workspace.state / "mlflow.db")
    (copy,) = copies(workspace)
    assert copy.where == f"MLflow run {runs[0]} (with)"
    assert runs[0] in copy.remedy and "mlflow gc --backend-store-uri" in copy.remedy
    assert sha256_file(workspace.state / "mlflow.db") == before


@pytest.mark.slow
def test_the_commands_for_mlflow_clear_a_run(workspace, migrated):
    workspace.state.mkdir()
    shutil.copy(migrated, workspace.state / "mlflow.db")
    store = open_store(workspace, "sparsecbm")
    (workspace.root / "a.txt").write_text(TEXT)
    store.client.log_artifact(create_run(store, "with", {}), str(workspace.root / "a.txt"))
    (workspace.root / "a.txt").unlink()
    (copy,) = copies(workspace)
    subprocess.run(copy.remedy, shell=True, check=True, cwd=workspace.root)
    assert copies(workspace) == []


def test_a_store_that_does_not_answer_is_told(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (copy,) = copies(workspace)
    assert copy.where.startswith("MLflow was not looked through") and not copy.certain
