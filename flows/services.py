"""`python -m flows.services up|down|status`: Prefect server, worker and MLflow pages, for this machine only."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock

from flows.settings import answers, configure, services_file
from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.files import write_json
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import tool_environment
from sparsecbm.track.store import database, tracking_uri

POOL = "sparsecbm"
HOST = "127.0.0.1"
START_SECONDS = 180
STOP_SECONDS = 10
STOP_ORDER = ("worker", "prefect", "mlflow")  # a worker without its server would keep retrying


class ServiceError(SparseCBMError):
    """A service cannot start."""


@dataclass(frozen=True)
class Service:
    """A started process; `created` distinguishes it from a later process with the same pid."""

    pid: int
    created: float
    url: str
    api: str = ""

    def process(self) -> psutil.Process | None:
        """The process, or None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            running = process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if running else None


def up(workspace: Workspace) -> dict[str, Service]:
    """Start the services, unless all of them run, and wait until each answers.

    Raises:
        ServiceError: a port is not free, or a service does not start; then all of them are stopped.
    """
    running = load_services(workspace)
    if set(running) == set(STOP_ORDER) and all(service.process() for service in running.values()):
        return running
    down(workspace)
    prefect_port, mlflow_port = _port("SPARSECBM_PREFECT_PORT", 4200), _port("SPARSECBM_MLFLOW_PORT", 5000)
    if prefect_port == mlflow_port:
        raise ServiceError("SPARSECBM_PREFECT_PORT and SPARSECBM_MLFLOW_PORT are the same port")
    _check_free(prefect_port, "SPARSECBM_PREFECT_PORT")
    _check_free(mlflow_port, "SPARSECBM_MLFLOW_PORT")
    workspace.state.mkdir(parents=True, exist_ok=True)
    try:
        # MLflow's server creates a missing database; no stage may create it at the same time.
        with FileLock(workspace.state / "mlflow.lock", timeout=START_SECONDS):
            wait_for_mlflow = _start_mlflow(workspace, mlflow_port)
            wait_for_prefect = _start_prefect(workspace, prefect_port)
            wait_for_mlflow()
        wait_for_prefect()
        _start_worker(workspace, f"http://{HOST}:{prefect_port}")()
        _deploy(workspace, f"http://{HOST}:{prefect_port}")
    except BaseException:
        down(workspace)
        raise
    return load_services(workspace)


def down(workspace: Workspace) -> list[str]:
    """Stop the services and all their child processes, the worker first; return the names of those that ran."""
    services, stopped = load_services(workspace), []
    for name in STOP_ORDER:
        process = services[name].process() if name in services else None
        if process:
            _stop(process)
            stopped.append(name)
    services_file(workspace).unlink(missing_ok=True)
    return stopped


def load_services(workspace: Workspace) -> dict[str, Service]:
    """The services that `up` started, by name; empty without any."""
    try:
        plain = json.loads(services_file(workspace).read_text(encoding="utf-8"))
        return {name: Service(**service) for name, service in plain.items()}
    except (OSError, ValueError, TypeError):
        return {}


def _start_prefect(workspace: Workspace, port: int) -> Callable[[], None]:
    url = f"http://{HOST}:{port}"
    command = ["-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    _start(workspace, "prefect", command, url, f"{url}/api")
    return lambda: _wait(workspace, "prefect", lambda: answers(f"{url}/api/health"))


def _start_mlflow(workspace: Workspace, port: int) -> Callable[[], None]:
    url = f"http://{HOST}:{port}"
    command = ["-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database(workspace)}"]
    # Artifacts are read and written in place, so the server and direct users of its database see the same addresses.
    command += ["--no-serve-artifacts", "--default-artifact-root", (workspace.state / "mlartifacts").resolve().as_uri()]
    _start(workspace, "mlflow", command, url, "")
    return lambda: _wait(workspace, "mlflow", lambda: answers(f"{url}/health"))


def _start_worker(workspace: Workspace, server: str) -> Callable[[], None]:
    command = ["-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "workspace"]
    _start(workspace, "worker", command, server, "", server)
    log = _log(workspace, "worker")
    return lambda: _wait(workspace, "worker", lambda: "started!" in log.read_text(errors="replace"))


def _deploy(workspace: Workspace, server: str) -> None:
    """Register the deployments in `prefect.yaml`; the worker has created their pool."""
    for command in (["prefect", "--no-prompt", "deploy", "--all"], ["flows.notify"]):
        if command == ["flows.notify"] and not os.environ.get("SPARSECBM_WEBHOOK"):
            continue
        result = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=workspace.root, env=_environment(workspace, server), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if result.returncode != 0:
            output = redacted((result.stderr or result.stdout).strip())
            raise ServiceError(f"{' '.join(command)} failed:\n{output}")


def _start(workspace: Workspace, name: str, command: list[str], url: str, api: str, server: str = "") -> None:
    """Start a process in its own session and note it in the services file."""
    log = _log(workspace, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = _environment(workspace, server)
    if api:
        environment["PREFECT_SERVER_UI_API_URL"] = api  # by default its pages call the default port
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=workspace.root, env=environment,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    service = Service(process.pid, psutil.Process(process.pid).create_time(), url, api)
    services = {**load_services(workspace), name: service}
    write_json(services_file(workspace), {name: asdict(service) for name, service in services.items()})


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
    environment = {**tool_environment(), "SPARSECBM_WORKSPACE": str(workspace.root)}
    environment["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "WARNING"  # goes to the log file, as the flows' output does
    environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # saves seven processes for an unused feature
    # Runs in a clone use the workspace's store under the same address, so one lock covers all promotions.
    environment.setdefault("MLFLOW_TRACKING_URI", tracking_uri(workspace))
    environment.pop("PREFECT_API_URL", None)
    return {**environment, "PREFECT_API_URL": f"{server}/api"} if server else environment


def _stop(process: psutil.Process) -> None:
    """End a process and all its descendants, including those in other process groups."""
    family = [process, *process.children(recursive=True)]
    for relative in family:
        _signal(relative.terminate)
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    for relative in alive:
        _signal(relative.kill)
    psutil.wait_procs(alive, timeout=STOP_SECONDS)


def _signal(send: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        send()


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not (text.isdigit() and 0 < int(text) < 65536):
        raise ServiceError(f"{variable}={text!r} is not a port; give a number from 1 to 65535")
    return int(text)


def _check_free(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServiceError(
                f"port {port} on {HOST} is not free ({error.strerror}); stop the other process, or change {variable}"
            ) from None


def _log(workspace: Workspace, name: str) -> Path:
    return workspace.state / "logs" / f"{name}.log"


def _print_status(workspace: Workspace) -> int:
    """Print one line for each service; return 1 if a started service has ended."""
    services = load_services(workspace)
    dead = [name for name, service in services.items() if not service.process()]
    for name in services:
        print(f"{name:9}{'dead; `make up` starts it again' if name in dead else services[name].url}")
    if not services:
        print("no services are running; `make up` starts them")
    return 1 if dead else 0


def main(arguments: list[str]) -> int:
    """Start, stop or list the services; an error is one message and exit code 1."""
    if arguments not in (["up"], ["down"], ["status"]):
        print("usage: python -m flows.services {up,down,status}", file=sys.stderr)
        return 2
    try:
        workspace = Workspace.find()
        configure(workspace)
        if arguments == ["status"]:
            return _print_status(workspace)
        if arguments == ["down"]:
            stopped = down(workspace)
            print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
            return 0
        services = up(workspace)
    except KeyboardInterrupt:
        print("interrupted; all services are stopped", file=sys.stderr)
        return 130
    except SparseCBMError as error:
        if os.environ.get("SPARSECBM_DEBUG") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Prefect  {services['prefect'].url}\nMLflow   {services['mlflow'].url}\nlogs     {workspace.state / 'logs'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
