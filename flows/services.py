"""`python -m flows.services up|down|status`: Prefect server, worker and MLflow pages of this workspace, on loopback."""

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
STOP_ORDER = ("worker", "prefect", "mlflow")  # a worker without its server would retry for long


class ServiceError(SparseCBMError):
    """A service cannot start."""


@dataclass(frozen=True)
class Service:
    """A started process; `created` tells it from a later one with the same number."""

    pid: int
    created: float
    url: str
    api: str = ""

    def process(self) -> psutil.Process | None:
        """The process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            running = process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if running else None


def up(workspace: Workspace) -> dict[str, Service]:
    """Start what does not run yet and wait until all of it answers.

    Raises:
        ServiceError: a port is taken, or a service does not come up; then none is left running.
    """
    running = load(workspace)
    if set(running) == set(STOP_ORDER) and all(service.process() for service in running.values()):
        return running
    down(workspace)
    prefect_port, mlflow_port = _port("SPARSECBM_PREFECT_PORT", 4200), _port("SPARSECBM_MLFLOW_PORT", 5000)
    if prefect_port == mlflow_port:
        raise ServiceError("SPARSECBM_PREFECT_PORT and SPARSECBM_MLFLOW_PORT name the same port")
    _free(prefect_port, "SPARSECBM_PREFECT_PORT")
    _free(mlflow_port, "SPARSECBM_MLFLOW_PORT")
    workspace.state.mkdir(parents=True, exist_ok=True)
    try:
        # MLflow's server makes the workspace's database where it is missing; no stage may do so at the same time.
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
    return load(workspace)


def down(workspace: Workspace) -> list[str]:
    """Stop what was started, the worker first, with everything that it started; the names of what still ran."""
    services, stopped = load(workspace), []
    for name in STOP_ORDER:
        process = services[name].process() if name in services else None
        if process:
            _stop(process)
            stopped.append(name)
    services_file(workspace).unlink(missing_ok=True)
    return stopped


def load(workspace: Workspace) -> dict[str, Service]:
    """What `up` noted; empty if nothing was started."""
    try:
        noted = json.loads(services_file(workspace).read_text(encoding="utf-8"))
        return {name: Service(**service) for name, service in noted.items()}
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
    # Files are read and written where they lie: the server and those who use its database directly agree on that.
    command += ["--no-serve-artifacts", "--default-artifact-root", (workspace.state / "mlartifacts").resolve().as_uri()]
    _start(workspace, "mlflow", command, url, "")
    return lambda: _wait(workspace, "mlflow", lambda: answers(f"{url}/health"))


def _start_worker(workspace: Workspace, server: str) -> Callable[[], None]:
    command = ["-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "workspace"]
    _start(workspace, "worker", command, server, "", server)
    log = _log(workspace, "worker")
    return lambda: _wait(workspace, "worker", lambda: "started!" in log.read_text(errors="replace"))


def _deploy(workspace: Workspace, server: str) -> None:
    """Register the deployments of `prefect.yaml`; the worker has made the pool that they name."""
    for command in (["prefect", "--no-prompt", "deploy", "--all"], ["flows.notify"]):
        if command == ["flows.notify"] and not os.environ.get("SPARSECBM_WEBHOOK"):
            continue
        result = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=workspace.root, env=_environment(workspace, server), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if result.returncode != 0:
            said = redacted((result.stderr or result.stdout).strip())
            raise ServiceError(f"{' '.join(command)} failed:\n{said}")


def _start(workspace: Workspace, name: str, command: list[str], url: str, api: str, server: str = "") -> None:
    """Start a process in a session of its own and note it."""
    log = _log(workspace, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = _environment(workspace, server)
    if api:
        environment["PREFECT_SERVER_UI_API_URL"] = api  # its pages would ask the default port
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=workspace.root, env=environment,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    service = Service(process.pid, psutil.Process(process.pid).create_time(), url, api)
    noted = {**load(workspace), name: service}
    write_json(services_file(workspace), {each: asdict(value) for each, value in noted.items()})


def _wait(workspace: Workspace, name: str, ready: Callable[[], bool]) -> None:
    """Wait until a service is ready; it may end or hang instead."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if load(workspace)[name].process() is None:
            raise ServiceError(f"{name} ended; {_log(workspace, name)} says why")
        if time.monotonic() > deadline:
            raise ServiceError(f"{name} did not answer within {START_SECONDS} s; see {_log(workspace, name)}")
        time.sleep(0.2)


def _environment(workspace: Workspace, server: str) -> dict[str, str]:
    environment = {**tool_environment(), "SPARSECBM_WORKSPACE": str(workspace.root)}
    environment["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "WARNING"  # into the log file, where flows print as well
    environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # seven more processes for what is not used here
    # Runs in a clone record here as well, by the same name, so that one lock keeps all promotions apart.
    environment.setdefault("MLFLOW_TRACKING_URI", tracking_uri(workspace))
    environment.pop("PREFECT_API_URL", None)
    return {**environment, "PREFECT_API_URL": f"{server}/api"} if server else environment


def _stop(process: psutil.Process) -> None:
    """End a process and all its descendants, those in process groups of their own as well."""
    family = [process, *process.children(recursive=True)]
    for member in family:
        _signal(member.terminate)
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    for member in alive:
        _signal(member.kill)
    psutil.wait_procs(alive, timeout=STOP_SECONDS)


def _signal(send: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        send()


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not (text.isdigit() and 0 < int(text) < 65536):
        raise ServiceError(f"{variable}={text!r} is no port; give a number from 1 to 65535")
    return int(text)


def _free(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServiceError(
                f"port {port} on {HOST} is not free ({error.strerror}); end what uses it, or set {variable} to another"
            ) from None


def _log(workspace: Workspace, name: str) -> Path:
    return workspace.state / "logs" / f"{name}.log"


def _say_status(workspace: Workspace) -> int:
    """One line a service; 1 if one that was started is dead."""
    services = load(workspace)
    dead = [name for name, service in services.items() if not service.process()]
    for name in services:
        print(f"{name:9}{'dead; `make up` starts it again' if name in dead else services[name].url}")
    if not services:
        print("no services were started here; `make up` starts them")
    return 1 if dead else 0


def main(arguments: list[str]) -> int:
    """Start, stop or look at the services; a fault is one message and exit code 1."""
    if arguments not in (["up"], ["down"], ["status"]):
        print("usage: python -m flows.services {up,down,status}", file=sys.stderr)
        return 2
    try:
        workspace = Workspace.find()
        configure(workspace)
        if arguments == ["status"]:
            return _say_status(workspace)
        if arguments == ["down"]:
            stopped = down(workspace)
            print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
            return 0
        services = up(workspace)
    except KeyboardInterrupt:
        print("stopped; nothing was left running", file=sys.stderr)
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
