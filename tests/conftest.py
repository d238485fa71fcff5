"""Fixtures that tests of several layers share."""

import os
from pathlib import Path

import pytest

# Nothing that a test loads may come from a hub.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the released data sets, which are too large for the repository; tests skip without it."""
    folder = Path(os.environ.get("SPARSECBM_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the released data sets are not in {folder}; name their folder by SPARSECBM_DATA")
    return folder


@pytest.fixture(scope="session")
def backbone(tmp_path_factory) -> Path:
    """The folder of a tiny BERT of random weights."""
    from tests.tiny_models import write_backbone

    return write_backbone(tmp_path_factory.mktemp("backbone") / "bert")


@pytest.fixture
def model(backbone):
    """A tiny joint model of random weights."""
    from tests.tiny_models import tiny_model

    return tiny_model(backbone)
