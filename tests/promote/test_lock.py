"""One promotion at a time, however the address of the registry is spelled."""

import multiprocessing
import os
import shutil

import pytest
from mlflow import MlflowClient

from sparsecbm.pipeline.lock import WorkspaceBusyError
from sparsecbm.promote.lock import promotion_lock
from sparsecbm.promote.registry import Registry


@pytest.fixture
def spellings(migrated, tmp_path):
    """Return addresses of one database: plain, with a dot, with a detour, through a symlink, and relative."""
    (tmp_path / "store").mkdir()
    shutil.copy(migrated, tmp_path / "store" / "mlflow.db")
    (tmp_path / "link").symlink_to(tmp_path / "store")
    relative = os.path.relpath(tmp_path / "store" / "mlflow.db")
    tails = ("store/mlflow.db", "./store/mlflow.db", "store/../store/mlflow.db", "link/mlflow.db")
    return [*(f"sqlite:///{tmp_path}/{tail}" for tail in tails), f"sqlite:///{relative}"]


def test_every_spelling_is_the_same_model_and_another_model_is_not(spellings):
    Registry(MlflowClient(spellings[0]), "m").create()
    Registry(MlflowClient(spellings[0]), "n").create()
    identities = [Registry(MlflowClient(uri), "m").identity() for uri in spellings]
    assert len(set(identities)) == 1
    assert Registry(MlflowClient(spellings[0]), "n").identity() != identities[0]


def test_the_lock_of_one_spelling_holds_for_all_others_and_for_servers(spellings):
    fork = multiprocessing.get_context("fork")
    held, done = fork.Event(), fork.Event()

    def hold():
        with promotion_lock("http://127.0.0.1:1", "m", "identity"):
            held.set()
            done.wait(60)

    child = fork.Process(target=hold)
    child.start()
    assert held.wait(60)
    for uri in (*spellings, "https://example.org/mlflow", "postgresql://host/db"):
        message = rf"another promotion of 'm' is in progress \(process {child.pid}\)"
        with pytest.raises(WorkspaceBusyError, match=message), promotion_lock(uri, "m", "identity"):
            pass
    with promotion_lock(spellings[0], "m", "another model"):
        pass
    done.set()
    child.join(60)
    with promotion_lock(spellings[1], "m", "identity"), pytest.raises(WorkspaceBusyError):
        promotion_lock(spellings[-2], "m", "identity").__enter__()
