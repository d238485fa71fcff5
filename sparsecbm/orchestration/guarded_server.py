"""One process that serves behind the guard: `python -m sparsecbm.orchestration.guarded_server SERVER PORT`.

The servers are `prefect`, `temporary` and `mlflow`; `services.py` and `temporary_server.py` start them. Prefect asks
for the password itself; for MLflow the guard asks.
"""

import os
import sys
from functools import partial

import uvicorn

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.guard import HOST, App, Guard
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.printing.terminal import say
from sparsecbm.orchestration.access import access
from sparsecbm.orchestration.endings import end_with
from sparsecbm.orchestration.temporary_server import PARENT
from sparsecbm.track.store import database_uri


def prefect_app(workspace: Workspace, port: int, temporary: bool = False) -> App:
    """Prefect's server; a temporary one serves no pages and no schedules.

    It checks the password for every request to its API, but neither Host nor Origin.
    """
    origin = f"http://{HOST}:{port}"
    os.environ |= {
        "PREFECT_SERVER_API_AUTH_STRING": access(workspace),
        "PREFECT_API_AUTH_STRING": access(workspace),  # its own services use its API, too
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origin,
        "PREFECT_SERVER_UI_API_URL": f"{origin}/api",  # by default its pages call the default port
        "PREFECT_SERVER_UI_ENABLED": str(not temporary),
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
    }
    from prefect.server.api.server import create_app  # reads the settings

    return Guard(create_app(final=True, ephemeral=temporary), port)


def mlflow_app(workspace: Workspace, port: int) -> App:
    """MLflow's server. By default it trusts the pages of every port of this machine, and asks for no password."""
    from mlflow.environment_variables import (
        MLFLOW_SERVER_ALLOWED_HOSTS,
        MLFLOW_SERVER_CORS_ALLOWED_ORIGINS,
        MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE,
    )

    os.environ |= {
        MLFLOW_SERVER_ALLOWED_HOSTS.name: f"{HOST}:{port},localhost:{port}",
        MLFLOW_SERVER_CORS_ALLOWED_ORIGINS.name: f"http://{HOST}:{port}",
        MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE.name: "false",
    }
    from mlflow.server import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR, REGISTRY_STORE_URI_ENV_VAR
    from mlflow.server.handlers import initialize_backend_stores

    store = database_uri(workspace)
    # Artifacts are read and written in place, so the server and direct users of its database see the same addresses.
    artifacts = (workspace.state / "mlartifacts").resolve().as_uri()
    os.environ |= {
        BACKEND_STORE_URI_ENV_VAR: store,
        REGISTRY_STORE_URI_ENV_VAR: store,
        ARTIFACT_ROOT_ENV_VAR: artifacts,
    }
    initialize_backend_stores(store, store, artifacts)
    from mlflow.server.fastapi_app import app  # reads the environment

    return Guard(app, port, access(workspace))


APPS = {"prefect": prefect_app, "temporary": partial(prefect_app, temporary=True), "mlflow": mlflow_app}


def main(arguments: list[str]) -> int:
    """Serve until a signal ends the process."""
    if len(arguments) != 2 or arguments[0] not in APPS or not arguments[1].isdigit():
        print("usage: python -m sparsecbm.orchestration.guarded_server prefect|temporary|mlflow PORT", file=sys.stderr)
        return 2
    if PARENT in os.environ:
        end_with(int(os.environ[PARENT]))
    name, port = arguments[0], int(arguments[1])
    try:
        app = APPS[name](Workspace.find(), port)
    except SparseCBMError as error:
        say(f"error: {error}", error=True)
        return 1
    # The same limits as `prefect server start`.
    uvicorn.run(app, host=HOST, port=port, log_level="warning", timeout_keep_alive=5, ws_ping_interval=20)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
