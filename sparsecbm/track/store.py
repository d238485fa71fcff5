"""The tracking store: the workspace's own database, or the server named by MLFLOW_TRACKING_URI."""

import logging
import os
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROBE_SECONDS = 3
LOCK_SECONDS = 60


class TrackingUnavailableError(SparseCBMError):
    """The tracking store cannot be reached or opened."""


@dataclass(frozen=True)
class Store:
    """An open tracking store and the experiment that this project writes to."""

    client: "MlflowClient"
    uri: str
    experiment_id: str

    def page(self, run_id: str) -> str:
        """Address of a run's page; for the workspace's own database, the page that `make up` serves."""
        port = os.environ.get("SPARSECBM_MLFLOW_PORT", "5000")
        base = redacted(self.uri.rstrip("/")) if self.uri.startswith("http") else f"http://127.0.0.1:{port}"
        return f"{base}/#/experiments/{self.experiment_id}/runs/{run_id}"


def tracking_uri(workspace: Workspace) -> str:
    """MLFLOW_TRACKING_URI, or the database inside the workspace."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database(workspace)}"


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
    uri = tracking_uri(workspace)
    probe(uri)
    _silence_mlflow(seconds)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    path = uri.removeprefix("sqlite:///")
    folder = Path(path).with_name("mlartifacts").resolve().as_uri() if path != uri else None
    workspace.state.mkdir(parents=True, exist_ok=True)
    try:
        # Two processes that open a new database at once would both create its tables.
        with FileLock(workspace.state / "mlflow.lock", timeout=LOCK_SECONDS):
            client = MlflowClient(tracking_uri=uri)
            known = client.get_experiment_by_name(experiment)
            experiment_id = known.experiment_id if known else client.create_experiment(experiment, folder)
    except Timeout:
        raise TrackingUnavailableError(
            f"another process has been opening {redacted(uri)} for more than {LOCK_SECONDS} s"
        ) from None
    except (MlflowException, OSError) as error:
        raise TrackingUnavailableError(f"MLflow at {redacted(uri)} cannot be opened: {first_line(error)}") from error
    return Store(client, uri, experiment_id)


def probe(uri: str) -> None:
    """Test quickly whether a store answers; MLflow itself would retry for minutes.

    Raises:
        TrackingUnavailableError: the server does not answer, or the file is not a database.
    """
    if uri.startswith(("http://", "https://")):
        try:
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS).close()
        except urllib.error.HTTPError:
            return  # the server answers; a proxy in front of it may not know /health
        except (OSError, ValueError) as error:
            raise TrackingUnavailableError(f"MLflow at {redacted(uri)} does not answer ({first_line(error)})") from None
    elif uri.startswith("sqlite:///"):
        path = uri.removeprefix("sqlite:///")
        if os.path.exists(path):
            try:
                with closing(sqlite3.connect(path, timeout=PROBE_SECONDS)) as connection:
                    connection.execute("select count(*) from sqlite_master").fetchone()
            except sqlite3.Error as error:
                raise TrackingUnavailableError(
                    f"the MLflow database {path} cannot be opened ({error}); move it away"
                ) from None


@contextmanager
def translated_errors(uri: str) -> Iterator[None]:
    """Turn MLflow's errors in the block into one clear error.

    Raises:
        TrackingUnavailableError: a request to MLflow failed.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise TrackingUnavailableError(f"MLflow at {redacted(uri)} failed: {first_line(error)}") from error


def _silence_mlflow(seconds: int) -> None:
    """Settings of MLflow: short waits, no retries, no messages in the terminal."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(seconds))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.ERROR)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without secrets."""
    return redacted((str(getattr(error, "reason", None) or error).splitlines() or [type(error).__name__])[0])
