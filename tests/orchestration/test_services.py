"""Real Prefect and MLflow servers and a worker: they answer, schedules fire, and no process remains."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from sparsecbm.base.files import write_json
from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.processes import Service, is_free, load_services, mark, services_file
from sparsecbm.orchestration.services import ServiceError, down, up
from sparsecbm.orchestration.settings import answers, running_server
from tests.support.tiny_pipeline import add_flows, free_port, make_tiny_workspace

pytestmark = pytest.mark.flow

TICK = """\
from pathlib import Path
from prefect import flow

@flow
def tick(file: str):
    Path(file).write_text("fired")
"""


def test_all_services_answer_and_a_second_start_uses_them(services):
    workspace, started = services
    assert set(started) == {"prefect", "worker", "mlflow"}
    assert answers(f"{started['prefect'].api}/health")
    assert answers(f"{started['mlflow'].url}/health")
    assert running_server(workspace) == started["prefect"].api
    assert up(workspace) == started


def test_a_killed_server_is_started_again_and_the_others_stay(services):
    workspace, _ = services
    before = load_services(workspace)
    os.kill(before["mlflow"].pid, signal.SIGKILL)
    after = up(workspace)
    assert {name for name in after if after[name].pid != before[name].pid} == {"mlflow"}
    assert answers(f"{after['mlflow'].url}/health")
    services[1].update(after)


def test_a_schedule_fires(services, tmp_path):
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.schedules import Interval

    (tmp_path / "tick.py").write_text(TICK)
    deployments = [
        flow.from_source(str(tmp_path), "tick.py:tick").deploy(
            name=name, work_pool_name="sparsecbm", paused=paused, print_next_steps=False, ignore_warnings=True,
            schedule=Interval(timedelta(seconds=10)), parameters={"file": str(tmp_path / name)},
        )
        for name, paused in (("paused", True), ("fires", False))
    ]  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "fires").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    with get_client(sync_client=True) as client:
        for deployment in deployments:
            client.delete_deployment(deployment)
    assert (tmp_path / "fires").read_text() == "fired"
    assert not (tmp_path / "paused").exists()


def test_a_port_in_use_is_an_error_and_no_process_remains(services, tiny_workspace, monkeypatch):
    _, started = services
    used_port = started["mlflow"].url.rsplit(":", 1)[1]
    monkeypatch.setenv("SPARSECBM_PREFECT_PORT", used_port)
    monkeypatch.setenv("SPARSECBM_MLFLOW_PORT", str(free_port()))
    add_flows(tiny_workspace)
    result = subprocess.run(
        [sys.executable, "-m", "sparsecbm", "up"], cwd=tiny_workspace.root, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr == (
        f"error: port {used_port} on 127.0.0.1 is not free; "
        "stop the process that uses it, or change SPARSECBM_PREFECT_PORT\n"
    )
    assert load_services(tiny_workspace) == {}
    assert not (tiny_workspace.state / "mlflow.db").exists()


@pytest.mark.parametrize("port", ["no", "0", "70000"])
def test_a_port_must_be_a_number(tiny_workspace, monkeypatch, port):
    monkeypatch.setenv("SPARSECBM_MLFLOW_PORT", port)
    with pytest.raises(ServiceError, match=r"SPARSECBM_MLFLOW_PORT=.* is not a port"):
        up(tiny_workspace)


def test_down_ends_a_process_with_all_its_children(tiny_workspace):
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'], start_new_session=True)\n"
        "print(child.pid, flush=True); child.wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tiny_workspace.root, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    child = psutil.Process(int(parent.stdout.readline()))
    service = Service(parent.pid, psutil.Process(parent.pid).create_time(), "")
    gone = Service(parent.pid, 1.0, "")  # the same number, another process
    write_json(services_file(tiny_workspace), {"mlflow": asdict(service), "worker": asdict(gone)})
    assert down(tiny_workspace) == ["mlflow"]
    assert psutil.pid_exists(parent.pid) is False  # waited for
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert load_services(tiny_workspace) == {}
    assert down(tiny_workspace) == []


def test_down_finds_the_children_of_a_killed_parent(tiny_workspace):
    """The parent dies without a chance to end its child, which keeps the port, and the services file is lost."""
    parent, child, port = _start_listener(tiny_workspace, "mlflow")
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert not is_free(port)
    assert load_services(tiny_workspace) == {}
    assert down(tiny_workspace) == ["mlflow"]
    assert is_free(port)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_no_process_of_others_is_ended(tiny_workspace, tmp_path):
    other = make_tiny_workspace(tmp_path / "other")
    parent, child, port = _start_listener(other, "mlflow")
    try:
        write_json(services_file(tiny_workspace), {"mlflow": asdict(Service(parent.pid, 1.0, ""))})
        assert down(tiny_workspace) == []
        assert parent.poll() is None and child.is_running()
        assert not is_free(port)
    finally:
        assert down(other) == ["mlflow"]
        parent.wait()


def test_a_copied_workspace_leaves_the_services_of_the_original_alone(tiny_workspace, tmp_path, monkeypatch):
    """The copy holds the services file and the password, and the original's processes live."""
    parent, child, port = _start_listener(tiny_workspace, "mlflow", cwd=tiny_workspace.root)
    service = Service(parent.pid, psutil.Process(parent.pid).create_time(), f"http://127.0.0.1:{port}")
    write_json(services_file(tiny_workspace), {"mlflow": asdict(service)})
    copy = Workspace(Path(shutil.copytree(tiny_workspace.root, tmp_path / "copy")))
    monkeypatch.setenv("SPARSECBM_MLFLOW_PORT", str(port))
    monkeypatch.setenv("SPARSECBM_PREFECT_PORT", str(free_port()))
    try:
        assert load_services(copy) == {}
        assert load_services(tiny_workspace) == {"mlflow": service}
        with pytest.raises(ServiceError, match=rf"port {port} on 127.0.0.1 is not free"):
            up(copy)
        assert down(copy) == []
        assert parent.poll() is None and child.is_running()
    finally:
        assert down(tiny_workspace) == ["mlflow"]
        parent.wait()


def test_a_moved_workspace_finds_its_services(tiny_workspace, tmp_path):
    parent, child, _ = _start_listener(tiny_workspace, "mlflow", cwd=tiny_workspace.root)
    service = Service(parent.pid, psutil.Process(parent.pid).create_time(), "")
    write_json(services_file(tiny_workspace), {"mlflow": asdict(service)})
    moved = Workspace(tiny_workspace.root.rename(tmp_path / "moved"))
    assert down(moved) == ["mlflow"]
    assert parent.wait(10) is not None
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_port_of_others_is_noticed_before_anything_is_stopped(tiny_workspace, monkeypatch, tmp_path):
    """MLflow died and another program took its port, while Prefect and the worker are well."""
    well = {name: _start_listener(tiny_workspace, name)[0] for name in ("prefect", "worker")}
    noted = {
        name: asdict(Service(process.pid, psutil.Process(process.pid).create_time(), "http://127.0.0.1:9"))
        for name, process in well.items()
    }
    write_json(services_file(tiny_workspace), noted | {"mlflow": asdict(Service(1, 1.0, "http://127.0.0.1:9"))})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("SPARSECBM_MLFLOW_PORT", str(taken.getsockname()[1]))
        with pytest.raises(ServiceError, match=r"port \d+ on 127.0.0.1 is not free; .* change SPARSECBM_MLFLOW_PORT"):
            up(tiny_workspace)
    assert all(process.poll() is None for process in well.values())
    assert set(load_services(tiny_workspace)) == {"prefect", "worker", "mlflow"}
    assert down(tiny_workspace) == ["worker", "prefect"]
    assert all(process.wait(10) is not None for process in well.values())


def _start_listener(workspace, name, cwd=None):
    """Start a parent, marked as a service, with a child that listens; return both and the port."""
    code = (
        "import socket, time; listener = socket.create_server(('127.0.0.1', 0))\n"
        "import os; print(os.getpid(), listener.getsockname()[1], flush=True); time.sleep(300)"
    )
    parent_code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {code!r}], start_new_session=True)\n"
        "child.wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True, start_new_session=True,
        cwd=cwd, env={**os.environ, **mark(workspace, name)},
    )  # fmt: skip
    child, port = parent.stdout.readline().split()
    return parent, psutil.Process(int(child)), int(port)


def test_a_dead_worker_is_reported(tiny_workspace):
    parent, _, _ = _start_listener(tiny_workspace, "prefect")
    alive = psutil.Process(parent.pid)
    services = {
        "prefect": Service(alive.pid, alive.create_time(), "http://127.0.0.1:4200"),
        "worker": Service(alive.pid, 1.0, "http://127.0.0.1:4200"),
    }
    result = _status(add_flows(tiny_workspace))
    assert (result.returncode, result.stdout) == (0, "no services are running; `sparsecbm up` starts them\n")
    write_json(services_file(tiny_workspace), {name: asdict(service) for name, service in services.items()})
    result = _status(tiny_workspace)
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "prefect  http://127.0.0.1:4200", "worker   dead; `sparsecbm up` starts it again",
    ]  # fmt: skip
    assert down(tiny_workspace) == ["prefect"]
    parent.wait()


def test_serving_without_a_server_is_an_error(tiny_workspace, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    command = [sys.executable, "-m", "flows.serve", "0 3 * * *"]
    result = subprocess.run(command, cwd=add_flows(tiny_workspace).root, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == (
        "error: no Prefect server answers, so no schedule would ever fire; "
        "start one with `sparsecbm up`, or set PREFECT_API_URL\n"
    )


def _status(workspace):
    return subprocess.run(
        [sys.executable, "-m", "sparsecbm.orchestration.services", "status"],
        cwd=workspace.root,
        capture_output=True,
        text=True,
    )
