"""The tracking store: the workspace's own database, or the server named by MLFLOW_TRACKING_URI."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.track.probe import TrackingUnavailableError, explain, probe, sqlite_path, sqlite_uri
from sparsecbm.track.relocation import follow_workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_SECONDS = 60
OF_MLFLOW = ("mlflow", "sqlalchemy", "requests", "urllib3")  # packages whose errors mean that a request failed


@dataclass(frozen=True)
class Store:
    """An open tracking store and the experiment that this project writes to."""

    client: "MlflowClient"
    uri: str
    experiment_id: str

    def page(self, run_id: str) -> str:
        """Address of a run's page; for the workspace's own database, the page that `sparsecbm up` serves."""
        port = os.environ.get("SPARSECBM_MLFLOW_PORT", "5000")
        base = redacted(self.uri.rstrip("/")) if self.uri.startswith("http") else f"http://127.0.0.1:{port}"
        return f"{base}/#/experiments/{self.experiment_id}/runs/{run_id}"


def tracking_uri(workspace: Workspace) -> str:
    """MLFLOW_TRACKING_URI, or the database inside the workspace."""
    return os.environ.get("MLFLOW_TRACKING_URI") or database_uri(workspace)


def database_uri(workspace: Workspace) -> str:
    """Address of the workspace's own MLflow database."""
    return sqlite_uri(database(workspace))


def database(workspace: Workspace) -> str:
    """Path of the workspace's own MLflow database."""
    return str((workspace.state / "mlflow.db").resolve())


def open_store(workspace: Workspace, experiment: str, seconds: int = 30) -> Store:
    """Open the store, and create database and experiment if they are missing.

    Args:
        seconds: time limit of each request

    Raises:
        TrackingUnavailableError: the server does not answer, or the database cannot be opened.
    """
    workspace.writable_state()
    uri = probe(tracking_uri(workspace), seconds).uri
    _silence_mlflow(seconds)
    path = sqlite_path(uri)
    folder = Path(path).with_name("mlartifacts").resolve().as_uri() if path else None
    try:
        from mlflow import MlflowClient

        # Two processes that open a new database at once would both create its tables.
        with FileLock(workspace.state / "mlflow.lock", timeout=LOCK_SECONDS):
            if path:
                follow_workspace(path)
            client = MlflowClient(tracking_uri=uri)
            known = client.get_experiment_by_name(experiment)
            experiment_id = known.experiment_id if known else client.create_experiment(experiment, folder)
    except Timeout:
        raise TrackingUnavailableError(
            f"another process has been opening {redacted(uri)} for more than {LOCK_SECONDS} s"
        ) from None
    except TrackingUnavailableError:
        raise
    except ImportError as error:
        if error.name == "mlflow":
            raise
        raise TrackingUnavailableError(f"MLflow at {redacted(uri)} cannot be opened: {explain(uri, error)}") from error
    except Exception as error:  # MLflow, SQLAlchemy, drivers and servers raise many kinds
        raise TrackingUnavailableError(f"MLflow at {redacted(uri)} cannot be opened: {explain(uri, error)}") from error
    return Store(client, uri, experiment_id)


def connect(seconds: int = 30) -> "MlflowClient":
    """A client that only reads: of MLFLOW_TRACKING_URI, or of this workspace's database. It creates nothing.

    Args:
        seconds: time limit of each request

    Raises:
        ConfigError: there is neither the variable nor a workspace.
        TrackingUnavailableError: the server does not answer, or there is no such database.
    """
    uri = probe(os.environ.get("MLFLOW_TRACKING_URI") or database_uri(Workspace.find()), seconds).uri
    path = sqlite_path(uri)
    if path and not os.path.exists(path):
        raise TrackingUnavailableError(f"there is no MLflow database {path}; `sparsecbm run` makes one")
    _silence_mlflow(seconds)
    if path:
        follow_workspace(path)
    from mlflow import MlflowClient

    with translated_errors(uri):
        return MlflowClient(tracking_uri=uri)


@contextmanager
def translated_errors(uri: str) -> Iterator[None]:
    """Turn MLflow's errors in the block into one clear error.

    Raises:
        TrackingUnavailableError: a request to MLflow failed.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in OF_MLFLOW:
            raise
        raise TrackingUnavailableError(f"MLflow at {redacted(uri)} failed: {explain(uri, error)}") from error


def _silence_mlflow(seconds: int) -> None:
    """Settings of MLflow: short waits, no retries, no messages in the terminal."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(seconds))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.ERROR)
