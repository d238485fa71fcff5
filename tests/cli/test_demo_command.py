"""`sparsecbm demo`: a model is trained only where there is none, and other texts are refused."""

import shutil

import pytest

from tests.support.project import ROOT


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What the command starts, in a workspace of the embedded reviews without a model."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    made = []
    monkeypatch.setattr("sparsecbm.cli.workbench.workbench", lambda **options: made.append(options))
    monkeypatch.setattr("sparsecbm.cli.flow_process.run_module", lambda _, *arguments: made.append(arguments))
    return made


def test_a_model_that_is_there_is_opened(calls, sparsecbm, tmp_path):
    (tmp_path / "models/sparse").mkdir(parents=True)
    code, _, errors = sparsecbm("demo", "--port", "8123", "--no-browser")
    assert (code, errors, calls) == (0, "", [{"port": 8123, "browser": False}])


def test_without_a_model_one_is_trained_first(calls, sparsecbm):
    code, output, errors = sparsecbm("demo")
    assert (code, errors) == (0, "")
    assert calls == [("flows.retrain", "prune"), {"port": 8090, "browser": True}]
    assert "six minutes" in output


def test_a_failed_training_opens_nothing(calls, sparsecbm, monkeypatch):
    monkeypatch.setattr("sparsecbm.cli.flow_process.run_module", lambda *_: 3)
    assert sparsecbm("demo")[0] == 3
    assert calls == []


def test_a_workspace_of_other_texts_is_refused(calls, sparsecbm, tmp_path):
    params = tmp_path / "params.yaml"
    text = params.read_text(encoding="utf-8")
    assert "name: restaurants" in text
    params.write_text(text.replace("name: restaurants", "name: imdb-c"), encoding="utf-8")
    code, _, errors = sparsecbm("demo")
    assert code == 1
    assert "source.name is imdb-c" in errors
    assert calls == []
