"""The password of the services: created once, readable by its owner alone, and given to own servers only."""

import os
import stat
import threading

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.files import write_json
from sparsecbm.orchestration.access import access, access_file, credentials
from sparsecbm.orchestration.processes import services_file
from sparsecbm.orchestration.settings import configure

VARIABLES = (
    "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "PREFECT_HOME", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS",
)  # fmt: skip


@pytest.fixture
def environment(monkeypatch):
    """Give `configure` an environment of its own without any settings."""
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name not in VARIABLES})
    return os.environ


def test_it_is_created_once_for_the_owner_alone(tiny_workspace):
    first = access(tiny_workspace)
    assert access(tiny_workspace) == first
    assert stat.S_IMODE(access_file(tiny_workspace).stat().st_mode) == 0o600
    assert credentials(tiny_workspace) == ("sparsecbm", first.removeprefix("sparsecbm:"))
    assert len(first) == len("sparsecbm:") + 48
    access_file(tiny_workspace).unlink()
    assert access(tiny_workspace) != first


def test_loose_permissions_are_tightened(tiny_workspace):
    first = access(tiny_workspace)
    access_file(tiny_workspace).chmod(0o644)
    assert access(tiny_workspace) == first
    assert stat.S_IMODE(access_file(tiny_workspace).stat().st_mode) == 0o600


def test_many_at_once_get_the_same(tiny_workspace):
    results = []
    barrier = threading.Barrier(8)

    def call():
        barrier.wait()
        results.append(access(tiny_workspace))

    threads = [threading.Thread(target=call) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(results) == 8
    assert len(set(results)) == 1
    assert sorted(path.name for path in tiny_workspace.state.glob("*access*")) == ["access"]


@pytest.mark.parametrize("content", ["", "sparsecbm:", "sparsecbm:short", "other:" + "a" * 48, "sparsecbm:" + "é" * 48])
def test_a_damaged_file_is_one_message(tiny_workspace, content):
    access_file(tiny_workspace).parent.mkdir(exist_ok=True)
    access_file(tiny_workspace).write_text(content)
    with pytest.raises(ConfigError, match=r"\.sparsecbm/access .*rm -r"):
        access(tiny_workspace)


def test_a_folder_in_its_place_is_one_message(tiny_workspace):
    access_file(tiny_workspace).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"access cannot be used: Is a directory"):
        access(tiny_workspace)


def test_a_temporary_server_gets_it(tiny_workspace, environment):
    configure(tiny_workspace)
    assert environment["PREFECT_API_AUTH_STRING"] == access(tiny_workspace)
    assert environment["PREFECT_SERVER_API_AUTH_STRING"] == access(tiny_workspace)
    assert environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] != "*"
    assert environment["MLFLOW_TRACKING_PASSWORD"] == credentials(tiny_workspace)[1]


def test_servers_of_others_never_get_it(tiny_workspace, environment):
    """Nor does one that listens where a service of this workspace did before it died."""
    api, url = "https://prefect.example.org/api", "https://mlflow.example.org"
    environment |= {"PREFECT_API_URL": api, "MLFLOW_TRACKING_URI": url}
    gone = {"pid": os.getpid(), "created": 1.0}
    write_json(services_file(tiny_workspace), {
        "prefect": gone | {"api": api, "url": api}, "mlflow": gone | {"url": url},
    })  # fmt: skip
    configure(tiny_workspace)
    assert access(tiny_workspace) not in environment.values()
    assert credentials(tiny_workspace)[1] not in environment.values()
