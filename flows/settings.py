"""Settings of Prefect for a workspace. Call `configure` before the first import of Prefect."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

from sparsecbm.base.workspace import Workspace


def configure(workspace: Workspace, debug: bool = False) -> None:
    """Keep Prefect's data in the workspace and its logs out of the terminal; settings of the user have priority.

    The flow uses the server that `flows.services up` started for this workspace. Without one, Prefect starts a
    temporary server that ends with the flow.
    """
    home = workspace.state / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
        # The flow prints its own progress. Prefect's lines and traces go to its database; --debug prints them, too.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG" if debug else "CRITICAL",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    api = running_server(workspace)
    if api:
        os.environ.setdefault("PREFECT_API_URL", api)


def services_file(workspace: Workspace) -> Path:
    """The file in which `flows.services` notes the processes that it started."""
    return workspace.state / "services.json"


def running_server(workspace: Workspace) -> str | None:
    """The API address of this workspace's Prefect server, or None if it does not answer."""
    try:
        api = json.loads(services_file(workspace).read_text(encoding="utf-8"))["prefect"]["api"]
    except (OSError, ValueError, KeyError):
        return None
    return api if answers(f"{api}/health") else None


def answers(url: str, seconds: float = 2) -> bool:
    """Whether an address answers with HTTP status 200."""
    try:
        # The addresses are 127.0.0.1, so no proxy may be used.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=seconds) as response:
            return response.status == 200
    except (OSError, urllib.error.URLError, ValueError):
        return False
