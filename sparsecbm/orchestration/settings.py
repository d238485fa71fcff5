"""Settings of Prefect for a workspace. Call `configure` before the first import of Prefect."""

import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.access import access, credentials
from sparsecbm.orchestration.processes import load_services


class NoServerError(SparseCBMError):
    """No Prefect server is running, so no schedule would fire."""


def configure(workspace: Workspace, debug: bool = False) -> None:
    """Keep Prefect's data in the workspace and its logs out of the terminal; settings of the user have priority.

    The flow uses the server that `sparsecbm up` started for this workspace. Without one, a temporary server starts that
    ends with the flow.

    Raises:
        ConfigError: the workspace's state cannot be written.
    """
    home = workspace.writable_state() / "prefect"
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
        **_quoted_database(home),
        # The flow prints its own progress. Prefect's lines and traces go to its database; --debug prints them, too.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG" if debug else "CRITICAL",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    api = running_server(workspace)
    if api:
        os.environ.setdefault("PREFECT_API_URL", api)
    _use_access(workspace, api)


def _use_access(workspace: Workspace, api: str | None) -> None:
    """Give the password to clients of this workspace's own servers, a temporary one included, and to no other server.

    A temporary server takes it, too: it is a child of the flow, and listens on a port of loopback while the flow runs.
    """
    if os.environ.get("PREFECT_API_URL") in (None, "", api):
        os.environ |= dict.fromkeys(("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"), access(workspace))
        os.environ.setdefault("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", "http://127.0.0.1")
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    if tracking in ("", running_mlflow(workspace)):
        user, password = credentials(workspace)
        os.environ |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


def running_server(workspace: Workspace) -> str | None:
    """The API address of this workspace's Prefect server, or None if it does not run and answer."""
    service = load_services(workspace).get("prefect")
    return service.api if service and service.process() and answers(f"{service.api}/health") else None


def running_mlflow(workspace: Workspace) -> str | None:
    """The address of this workspace's MLflow server, or None if it does not run and answer."""
    service = load_services(workspace).get("mlflow")
    return service.url if service and service.process() and answers(f"{service.url}/health") else None


def require_server() -> None:
    """Check that the configured Prefect server answers.

    Raises:
        NoServerError: none is configured, or it does not answer.
    """
    api = os.environ.get("PREFECT_API_URL", "")
    if not (api and answers(f"{api}/health")):
        raise NoServerError(
            f"no Prefect server answers{f' at {api}' if api else ''}, so no schedule would ever fire; "
            "start one with `sparsecbm up`, or set PREFECT_API_URL"
        )


def _quoted_database(home: Path) -> dict[str, str]:
    """The address of Prefect's database if the path holds a `?`, at which SQLAlchemy would end the path."""
    if "?" not in str(home):
        return {}
    return {"PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///file:{quote(str(home))}/prefect.db?uri=true"}


def answers(url: str, seconds: float = 2) -> bool:
    """Whether an address answers with HTTP status 200."""
    try:
        # The addresses are 127.0.0.1, so no proxy may be used.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=seconds) as response:
            return response.status == 200
    except (OSError, urllib.error.URLError, ValueError):
        return False
