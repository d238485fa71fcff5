"""Prefect server, worker and MLflow pages, for this machine only.

`sparsecbm up` and `down` run `python -m sparsecbm.orchestration.services up|down|status`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from pathlib import Path

import psutil
from filelock import FileLock

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.files import write_json
from sparsecbm.base.guard import HOST
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.printing.terminal import say
from sparsecbm.orchestration.access import access, access_file
from sparsecbm.orchestration.endings import Terminated, begin_process
from sparsecbm.orchestration.processes import (
    STOP_ORDER,
    Service,
    carries,
    find_processes,
    is_free,
    listens,
    load_services,
    mark,
    services_file,
    stage_mark,
    stop,
)
from sparsecbm.orchestration.settings import answers, configure
from sparsecbm.pipeline.graph import tool_environment
from sparsecbm.pipeline.lock import WorkspaceBusyError, exclusive_lock, flow_lock
from sparsecbm.track.store import tracking_uri

POOL = "sparsecbm"
START_SECONDS = 180
RELEASE_SECONDS = 3  # a process that was just killed keeps its port for a moment
STOP_ROUNDS = 3  # a process may start another one while it ends
PORTS = {"prefect": ("SPARSECBM_PREFECT_PORT", 4200), "mlflow": ("SPARSECBM_MLFLOW_PORT", 5000)}


class ServiceError(SparseCBMError):
    """A service cannot start."""


def up(workspace: Workspace) -> dict[str, Service]:
    """Start the services that do not run, and wait until each answers. Those that run stay as they are.

    Raises:
        ServiceError: a port is not free, and nothing is stopped; or a service does not start, and those that this call
            started are stopped.
    """
    ports = _ports()
    with _services_lock(workspace):
        running = _running(workspace)
        missing = [name for name in STOP_ORDER if name not in running]
        for name in set(missing) & set(PORTS):
            _check_port(workspace, name, ports[name])
        _stop_services(workspace, missing)  # what is left of those that ended
        try:
            _start_services(workspace, missing, ports)
        except BaseException:
            _stop_services(workspace, missing)
            raise
        return load_services(workspace)


def down(workspace: Workspace) -> list[str]:
    """End every process of the services, the worker first; return the names of those that had any."""
    with _services_lock(workspace):
        stopped = _stop_services(workspace, STOP_ORDER)
        with suppress(WorkspaceBusyError), flow_lock(workspace):  # no flow runs, so a stage is left of a killed one
            orphans = find_processes(stage_mark(workspace))
            stop(orphans)
            stopped += ["stages"] if orphans else []
        services_file(workspace).unlink(missing_ok=True)
        return stopped


def _services_lock(workspace: Workspace) -> AbstractContextManager[None]:
    return exclusive_lock(workspace.state, "services", "the services of this workspace are being started or stopped")


def _running(workspace: Workspace) -> dict[str, Service]:
    """The services that need no start: the process lives, and was started by this version of `up`."""
    running = {}
    for name, service in load_services(workspace).items():
        if name in PORTS and not answers(_health(service)):
            time.sleep(1)  # a process that was just killed takes a moment to end
        process = service.process()
        if process and carries(process, mark(workspace, name)):
            running[name] = service
    if "prefect" not in running:
        running.pop("worker", None)  # it works for a server that is gone
    return running


def _start_services(workspace: Workspace, missing: list[str], ports: dict[str, int]) -> None:
    waits = []
    if "mlflow" in missing:
        # MLflow's server creates a missing database; no stage may create it at the same time.
        with FileLock(workspace.state / "mlflow.lock", timeout=START_SECONDS):
            wait_for_mlflow = _start_server(workspace, "mlflow", ports["mlflow"])
            if "prefect" in missing:
                waits.append(_start_server(workspace, "prefect", ports["prefect"]))
            wait_for_mlflow()
    elif "prefect" in missing:
        waits.append(_start_server(workspace, "prefect", ports["prefect"]))
    for wait in waits:
        wait()
    if "worker" in missing:
        server = load_services(workspace)["prefect"].url
        _start_worker(workspace, server)()
        _deploy(workspace, server)


def _stop_services(workspace: Workspace, names: tuple[str, ...] | list[str]) -> list[str]:
    """End all processes of some services, also those whose parent died; return the names of those that had any."""
    services, stopped = load_services(workspace), []
    for name in (name for name in STOP_ORDER if name in names):
        for _ in range(STOP_ROUNDS):
            processes = find_processes(mark(workspace, name), services.get(name))
            if not processes:
                break
            stop(processes)
            stopped.append(name)
        services.pop(name, None)
    if services_file(workspace).exists():
        write_json(services_file(workspace), {name: asdict(service) for name, service in services.items()})
    return list(dict.fromkeys(stopped))


def _start_server(workspace: Workspace, name: str, port: int) -> Callable[[], None]:
    url = f"http://{HOST}:{port}"
    api = f"{url}/api" if name == "prefect" else ""
    _start(workspace, name, ["-m", "sparsecbm.orchestration.guarded_server", name, str(port)], Service(0, 0, url, api))
    return lambda: _wait(workspace, name, lambda: answers(_health(load_services(workspace)[name])))


def _health(server: Service) -> str:
    return f"{server.api or server.url}/health"


def _start_worker(workspace: Workspace, server: str) -> Callable[[], None]:
    command = ["-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "workspace"]
    _start(workspace, "worker", command, Service(0, 0, server), server)
    log = _log(workspace, "worker")
    return lambda: _wait(workspace, "worker", lambda: "started!" in log.read_text(errors="replace"))


def _deploy(workspace: Workspace, server: str) -> None:
    """Register the deployments in `prefect.yaml`; the worker has created their pool."""
    for command in (["prefect", "--no-prompt", "deploy", "--all"], ["sparsecbm.orchestration.notify"]):
        if command == ["sparsecbm.orchestration.notify"] and not os.environ.get("SPARSECBM_WEBHOOK"):
            continue
        result = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=workspace.root, env=_environment(workspace, server), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if result.returncode != 0:
            output = redacted((result.stderr or result.stdout).strip())
            raise ServiceError(f"{' '.join(command)} failed:\n{output}")


def _start(workspace: Workspace, name: str, command: list[str], service: Service, server: str = "") -> None:
    """Start a process in its own session, with the mark of the service, and note it in the services file."""
    log = _log(workspace, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=workspace.root,
            env={**_environment(workspace, server), **mark(workspace, name)},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    started = Service(process.pid, psutil.Process(process.pid).create_time(), service.url, service.api)
    services = {**load_services(workspace), name: started}
    write_json(services_file(workspace), {key: asdict(value) for key, value in services.items()})


def _wait(workspace: Workspace, name: str, ready: Callable[[], bool]) -> None:
    """Wait until a service is ready.

    Raises:
        ServiceError: it ended, or the time limit is over.
    """
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if load_services(workspace)[name].process() is None:
            raise ServiceError(f"{name} ended; see {_log(workspace, name)}")
        if time.monotonic() > deadline:
            raise ServiceError(f"{name} did not answer within {START_SECONDS} s; see {_log(workspace, name)}")
        time.sleep(0.2)


def _environment(workspace: Workspace, server: str) -> dict[str, str]:
    """The environment of a service; with the address of a server, of a client of that server."""
    environment = {**tool_environment(), "SPARSECBM_WORKSPACE": str(workspace.root)}
    environment["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "WARNING"  # goes to the log file, as the flows' output does
    environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # saves seven processes for an unused feature
    # Runs in a clone use the workspace's store under the same address, so one lock covers all promotions.
    environment.setdefault("MLFLOW_TRACKING_URI", tracking_uri(workspace))
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        environment.pop(name, None)
    if not server:
        return environment
    return {**environment, "PREFECT_API_URL": f"{server}/api", "PREFECT_API_AUTH_STRING": access(workspace)}


def _ports() -> dict[str, int]:
    """The ports of the servers.

    Raises:
        ServiceError: a variable holds no port, or both hold the same one.
    """
    ports = {name: _port(*PORTS[name]) for name in PORTS}
    if ports["prefect"] == ports["mlflow"]:
        raise ServiceError("SPARSECBM_PREFECT_PORT and SPARSECBM_MLFLOW_PORT are the same port")
    return ports


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise ServiceError(f"{variable}={text[:40]!r} is not a port; give a number from 1 to 65535")
    return int(text)


def _check_port(workspace: Workspace, name: str, port: int) -> None:
    """Refuse a port that a process of others uses; what is left of this service will be stopped."""
    service = load_services(workspace).get(name)
    deadline = time.monotonic() + RELEASE_SECONDS
    while time.monotonic() < deadline:
        if is_free(port) or listens(port, find_processes(mark(workspace, name), service)):
            return
        time.sleep(0.2)
    variable, _ = PORTS[name]
    raise ServiceError(f"port {port} on {HOST} is not free; stop the process that uses it, or change {variable}")


def _log(workspace: Workspace, name: str) -> Path:
    return workspace.state / "logs" / f"{name}.log"


def _print_status(workspace: Workspace) -> int:
    """Print one line for each service; return 1 if a started service has ended."""
    services = load_services(workspace)
    dead = [name for name, service in services.items() if not service.process()]
    for name in services:
        print(f"{name:9}{'dead; `sparsecbm up` starts it again' if name in dead else services[name].url}")
    if not services:
        print("no services are running; `sparsecbm up` starts them")
    return 1 if dead else 0


def _print_addresses(workspace: Workspace, services: dict[str, Service]) -> None:
    file = access_file(workspace)
    print(
        f"Prefect  {services['prefect'].url}  asks for the whole line in {file}\n"
        f"MLflow   {services['mlflow'].url}  asks for its two parts, user:password\n"
        f"logs     {workspace.state / 'logs'}"
    )


def main(arguments: list[str]) -> int:
    """Start, stop or list the services; an error is one message and exit code 1."""
    if arguments not in (["up"], ["down"], ["status"]):
        print("usage: python -m sparsecbm.orchestration.services {up,down,status}", file=sys.stderr)
        return 2
    try:
        begin_process()
        workspace = Workspace.find()
        if arguments == ["status"]:
            return _print_status(workspace)
        configure(workspace)
        if arguments == ["down"]:
            stopped = down(workspace)
            print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
            return 0
        _print_addresses(workspace, up(workspace))
    except KeyboardInterrupt as ending:
        print("interrupted; what was being started is stopped", file=sys.stderr)
        return ending.exit_code if isinstance(ending, Terminated) else 130
    except (SparseCBMError, OSError) as error:
        if os.environ.get("SPARSECBM_DEBUG") == "1":
            raise
        say(f"error: {error}", error=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
