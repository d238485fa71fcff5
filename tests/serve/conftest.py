"""A served model that the tests of the service share."""

import pytest

from tests.support.served_model import save_served_model, served_app


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return the folder of a tiny masked model, with a patch."""
    return save_served_model(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def snapshot(folder):
    """Return the model as it is served."""
    return folder.snapshot()


@pytest.fixture
def corrections(tmp_path):
    """Return the file that keeps corrections."""
    return tmp_path / "kept" / "corrections.jsonl"


@pytest.fixture
def app(snapshot, corrections):
    """Return an application that serves the model."""
    return served_app(snapshot, corrections)
