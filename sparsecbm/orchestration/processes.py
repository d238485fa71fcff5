"""The processes that this workspace's services consist of, found again whatever died.

`MARK` is in the environment of each service, and all its descendants inherit it, however they were started. Besides,
a service leads a session of its own, and the services file notes its number and start time. A process of others has
neither, so it is never ended. A copied workspace holds the services file of the original, whose processes are others.
"""

import contextlib
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from sparsecbm.base.guard import HOST
from sparsecbm.base.workspace import Workspace

MARK = "SPARSECBM_SERVICE_OF"
STAGE_MARK = "SPARSECBM_STAGE_OF"
STOP_ORDER = ("worker", "prefect", "mlflow")  # a worker without its server would keep retrying
STOP_SECONDS = 10


@dataclass(frozen=True)
class Service:
    """A started process, which leads a session; `created` distinguishes it from a later process with the same pid."""

    pid: int
    created: float
    url: str
    api: str = ""

    def process(self) -> psutil.Process | None:
        """The process, or None if it has ended."""
        try:
            process = psutil.Process(self.pid)
        except (psutil.Error, ValueError, TypeError, OverflowError):
            return None
        return process if _runs(process) and process.create_time() == self.created else None


def services_file(workspace: Workspace) -> Path:
    """The file in which `sparsecbm.orchestration.services` notes the processes that it started."""
    return workspace.state / "services.json"


def load_services(workspace: Workspace) -> dict[str, Service]:
    """The services that `up` started for this workspace, by name; empty without any."""
    try:
        plain = json.loads(services_file(workspace).read_text(encoding="utf-8"))
        noted = {name: Service(**plain[name]) for name in plain if name in STOP_ORDER}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
    return {name: service for name, service in noted.items() if not _serves_another(workspace, name, service)}


def mark(workspace: Workspace, name: str) -> dict[str, str]:
    """The variable that marks a service and what it starts."""
    return {MARK: f"{name} {workspace.root.resolve()}"}


def stage_mark(workspace: Workspace) -> dict[str, str]:
    """The variable that marks a stage of this workspace and what it starts."""
    return {STAGE_MARK: str(workspace.root.resolve())}


def find_processes(marks: dict[str, str], service: Service | None = None) -> list[psutil.Process]:
    """Marked processes, those in the session of a service, and all their descendants.

    Never this process and its ancestors: a flow that a worker started carries the mark, too.
    """
    leader = service.process() if service else None
    kept = {os.getpid(), *(ancestor.pid for ancestor in psutil.Process().parents())}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            # While the leader lives, no other session has its number.
            if carries(process, marks) or (leader and os.getsid(process.pid) == leader.pid):
                found[process.pid] = process
                found |= {child.pid: child for child in process.children(recursive=True)}
    return [process for pid, process in found.items() if pid not in kept and _runs(process)]


def _serves_another(workspace: Workspace, name: str, service: Service) -> bool:
    """Whether a live process belongs to the workspace that this one was copied from.

    It carries another mark, as after a move, too; but a moved workspace stays the folder in which its services work.
    """
    process = service.process()
    if process is None or carries(process, mark(workspace, name)):
        return False
    with contextlib.suppress(psutil.Error, OSError):
        return Path(process.cwd()) != workspace.root.resolve()
    return True


def carries(process: psutil.Process, marks: dict[str, str]) -> bool:
    """Whether a process was started with the marks; False for one that has ended or belongs to another user."""
    try:
        return marks.items() <= process.environ().items()
    except (psutil.Error, OSError):
        return False


def stop(processes: list[psutil.Process]) -> None:
    """End processes: ask first, kill those that stay."""
    for process in processes:
        _signal(process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=STOP_SECONDS)
    for process in alive:
        _signal(process.kill)
    psutil.wait_procs(alive, timeout=STOP_SECONDS)


def is_free(port: int) -> bool:
    """Whether a server can listen on a port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listens(port: int, processes: list[psutil.Process]) -> bool:
    """Whether one of the processes listens on a port."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
    return False


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(send: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        send()
