"""Fixtures that tests of several layers share."""

import os
import shutil
from pathlib import Path

import pytest

# Tests load nothing from a hub.
os.environ["HF_HUB_OFFLINE"] = "1"
# Parallel tests would compete for the cores, above all with threads that wait in a busy loop.
SIDE_BY_SIDE = "PYTEST_XDIST_WORKER" in os.environ
if SIDE_BY_SIDE:
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # must come before torch loads


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return two processes a core, since many tests wait for a server or a process that they started."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each file to one process, and all tests with servers to the same one, since servers start slowly."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "servers" if "tests/orchestration/" in file and "end_to_end" not in file else file

    config.option.loadscopereorder = False  # keep the order of `pytest_collection_modifyitems`
    return Files(config, log)


def pytest_collection_modifyitems(items):
    """Put the tests that take minutes first in a parallel run, so that no process works on alone at the end."""
    if SIDE_BY_SIDE:
        items.sort(key=lambda item: (item.path.name != "test_end_to_end.py", "orchestration" not in item.path.parts))


@pytest.fixture(autouse=SIDE_BY_SIDE)
def one_thread():
    """Reset the number of threads that a stage set in an earlier test of the same process."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of the released data sets, which are too large for the repository; skip the test without it."""
    folder = Path(os.environ.get("SPARSECBM_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the released data sets are not in {folder}; name their folder by SPARSECBM_DATA")
    return folder


@pytest.fixture(scope="session")
def backbone(tmp_path_factory) -> Path:
    """Return the folder of a tiny BERT with random weights."""
    from tests.support.tiny_models import write_backbone

    return write_backbone(tmp_path_factory.mktemp("backbone") / "bert")


@pytest.fixture
def model(backbone):
    """Return a tiny joint model with random weights."""
    from tests.support.tiny_models import tiny_model

    return tiny_model(backbone)


@pytest.fixture
def lively(model):
    """Return the tiny model with large weights and half of the bits set; it predicts each state for some text."""
    from tests.support.lively_model import make_lively

    return make_lively(model)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """Return an MLflow database with its tables, which take seconds to create."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tiny_workspace(tmp_path):
    """Return a workspace with fast stages that have not run."""
    from tests.support.tiny_pipeline import make_tiny_workspace

    return make_tiny_workspace(tmp_path / "workspace")


@pytest.fixture(scope="session")
def _finished(tmp_path_factory):
    from tests.support.tiny_pipeline import finish, make_tiny_workspace

    return finish(make_tiny_workspace(tmp_path_factory.mktemp("finished") / "workspace"))


@pytest.fixture
def finished_workspace(_finished, tmp_path):
    """Return a workspace with fast stages that have all run, with `dvc.lock` committed."""
    from sparsecbm.base.workspace import Workspace

    shutil.copytree(_finished.root, tmp_path / "workspace", ignore=shutil.ignore_patterns("tmp"))
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def sparsecbm(monkeypatch, capsys):
    """Run a command in this process and return exit code, output and errors."""
    from sparsecbm.cli import app as cli

    monkeypatch.setenv("COLUMNS", "200")

    def sparsecbm(*arguments):
        monkeypatch.setattr(cli.sys, "argv", ["sparsecbm", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
            raise SystemExit(0)
        return stop.value.code or 0, *capsys.readouterr()

    return sparsecbm


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Serve an empty hub on loopback and point the client at it."""
    from tests.support.hub_server import point_client_at, running_hub

    with running_hub() as hub:
        point_client_at(hub, monkeypatch, tmp_path / "cache")
        yield hub
