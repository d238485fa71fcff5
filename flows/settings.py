"""Prefect's settings for a workspace. Import this, and call `configure`, before anything imports Prefect."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

from sparsecbm.base.workspace import Workspace


def configure(workspace: Workspace, debug: bool = False) -> None:
    """Keep Prefect's data inside the workspace and its logs off the terminal; what the user set before stays.

    A server that `flows.services up` started for this workspace is used; without one, Prefect starts a
    server of its own that ends with the flow.
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
        # The flow prints what people need; Prefect's own lines and traces go to its records, and here with --debug.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG" if debug else "CRITICAL",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    api = running_server(workspace)
    if api:
        os.environ.setdefault("PREFECT_API_URL", api)


def services_file(workspace: Workspace) -> Path:
    """Where `flows.services` notes what it started."""
    return workspace.state / "services.json"


def running_server(workspace: Workspace) -> str | None:
    """The API address of the Prefect server that was started for this workspace, if it answers."""
    try:
        api = json.loads(services_file(workspace).read_text(encoding="utf-8"))["prefect"]["api"]
    except (OSError, ValueError, KeyError):
        return None
    return api if answers(f"{api}/health") else None


def answers(url: str, seconds: float = 2) -> bool:
    """Whether an address gives a good HTTP answer."""
    try:
        # Loopback addresses: no proxy may stand between.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=seconds) as response:
            return response.status == 200
    except (OSError, urllib.error.URLError, ValueError):
        return False
