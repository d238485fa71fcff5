"""A command that takes a model folder takes a registered model, too."""

import shutil

import pytest

from tests.support.served_model import save_served_model
from tests.support.served_registry import ServedRegistry

ALIAS = "models:/tiny@champion"
TEXT = ("--text", "the food was good")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return two saved models of the same concepts."""
    return [save_served_model(tmp_path_factory.mktemp("model"), seed) for seed in (0, 5)]


@pytest.fixture
def registry(migrated, tmp_path, monkeypatch, saved):
    """Return a registry of both models; the second is the champion."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    registry = ServedRegistry(tmp_path / "mlflow.db", tmp_path / "files")
    for folder in saved:
        registry.register(folder)
    registry.promote(2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    return registry


def test_the_alias_is_the_model_that_it_names(registry, sparsecbm, saved, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answers = [sparsecbm("predict", folder, *TEXT) for folder in (*(each.model for each in saved), ALIAS)]
    assert answers[2][:2] == answers[1][:2] and answers[1][1] != answers[0][1]
    assert not list(tmp_path.glob("sparsecbm-version-*")), "the downloaded files go when the command ends"
    registry.promote(1)
    assert sparsecbm("masks", ALIAS, "--json")[:2] == sparsecbm("masks", saved[0].model, "--json")[:2]


def test_a_batch_of_the_alias_is_that_of_its_folder(registry, sparsecbm, saved, tmp_path):
    (tmp_path / "texts.jsonl").write_text('{"text": "the food was good"}\n{"text": "the place was loud"}\n')
    for model, output in ((saved[1].model, "folder"), (ALIAS, "alias"), (ALIAS, "alias")):
        code, _, errors = sparsecbm("batch", model, tmp_path / "texts.jsonl", tmp_path / output)
        assert code == 0, errors
    parts = [tmp_path / output / "predictions" / "part-000000.parquet" for output in ("folder", "alias")]
    assert parts[0].read_bytes() == parts[1].read_bytes()
    registry.promote(1)
    code, _, errors = sparsecbm("batch", ALIAS, tmp_path / "texts.jsonl", tmp_path / "alias")
    assert code == 1 and "holds a batch of something else" in errors, "a batch of another version does not go on"


def test_what_cannot_be_fetched_is_one_message(registry, sparsecbm):
    code, _, errors = sparsecbm("explain", "models:/tiny@previous", *TEXT)
    assert code == 1 and errors.startswith("error: models:/tiny@previous names no version")
    code, _, errors = sparsecbm("predict", "models:/tiny/2", *TEXT)
    assert code == 1 and "write models:/NAME@ALIAS" in errors
    weights = registry.model_files(2) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    code, _, errors = sparsecbm("predict", ALIAS, *TEXT)
    assert code == 1 and "version 2 of 'tiny' must not be loaded" in errors
