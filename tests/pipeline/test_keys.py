"""The key of a stage changes with the inputs of its outputs, and with nothing else."""

import pytest

from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.files import content_hash
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.keys import stage_key

GRAPH = """
stages:
  fit:
    cmd: python fit.py
    params: [seed, train.epochs]
    deps: [fit.py, data]
"""


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    (tmp_path / "params.yaml").write_text("seed: 1\nother: 5\ntrain:\n  epochs: 2\n  patience: 3\n")
    (tmp_path / "fit.py").write_text("print()\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("a")
    return Workspace(tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("params.yaml", "seed: 2\ntrain:\n  epochs: 2\n"),
        ("params.yaml", "seed: 1\ntrain:\n  epochs: 3\n"),
        ("fit.py", "print(1)\n"),
        ("data/a.txt", "b"),
        ("data/b.txt", ""),
        ("dvc.yaml", GRAPH.replace("python", "python -O")),
    ],
)
def test_a_change_of_an_input_changes_the_key(workspace, file, text):
    before = stage_key(workspace, "fit")
    (workspace.root / file).write_text(text)
    assert stage_key(workspace, "fit") != before


def test_parameters_of_a_json_file_count_by_their_values(workspace):
    (workspace.root / "dvc.yaml").write_text(
        GRAPH.replace("[seed, train.epochs]", "[{run.json: [seed, train.epochs]}]")
    )
    (workspace.root / "run.json").write_text('{"seed": 1, "train": {"epochs": 2}}')
    before = stage_key(workspace, "fit")
    (workspace.root / "run.json").write_text('{"train": {"epochs": 2, "more": 1},\n"seed": 1}')
    (workspace.root / "params.yaml").write_text("seed: 5\n")
    assert stage_key(workspace, "fit") == before
    (workspace.root / "run.json").write_text('{"seed": 1, "train": {"epochs": 3}}')
    assert stage_key(workspace, "fit") != before


def test_other_changes_keep_the_key(workspace):
    before = stage_key(workspace, "fit")
    (workspace.root / "params.yaml").write_text("# another comment\ntrain: {patience: 9, epochs: 2}\nseed: 1\n")
    (workspace.root / "data" / "__pycache__").mkdir()
    (workspace.root / "data" / "__pycache__" / "a.pyc").write_bytes(b"0")
    (workspace.root / "elsewhere.txt").write_text("x")
    assert stage_key(workspace, "fit") == before


def test_a_renamed_file_changes_the_hash_of_its_folder(tmp_path):
    (tmp_path / "a").write_text("same")
    before = content_hash(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert content_hash(tmp_path) != before


def test_errors_name_the_fault(workspace):
    with pytest.raises(ConfigError, match=r"unknown stage 'fitt'. Did you mean 'fit'"):
        stage_key(workspace, "fitt")
    (workspace.root / "params.yaml").write_text("seed: 1\n")
    with pytest.raises(ConfigError, match=r"'train.epochs', which params.yaml does not have"):
        stage_key(workspace, "fit")
    (workspace.root / "params.yaml").write_text("seed: 1\ntrain: {epochs: 1}\n")
    (workspace.root / "fit.py").unlink()
    with pytest.raises(DataError, match=r"fit\.py does not exist"):
        stage_key(workspace, "fit")
