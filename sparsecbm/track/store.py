"""Where the record goes: the workspace's own database, or the server that MLFLOW_TRACKING_URI names."""

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
        """The run's page; for the workspace's own database, the one that `make up` serves."""
        port = os.environ.get("SPARSECBM_MLFLOW_PORT", "5000")
        base = redacted(self.uri.rstrip("/")) if self.uri.startswith("http") else f"http://127.0.0.1:{port}"
        return f"{base}/#/experiments/{self.experiment_id}/runs/{run_id}"


def tracking_uri(workspace: Workspace) -> str:
    """MLFLOW_TRACKING_URI, or the database inside the workspace."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database(workspace)}"


def database(workspace: Workspace) -> str:
    """The path of the workspace's own MLflow database."""
    return str((workspace.state / "mlflow.db").resolve())


def open_store(workspace: Workspace, experiment: str, seconds: int = 30) -> Store:
    """Open the store, creating database and experiment where they are missing; no answer may take over `seconds`.

    Raises:
        TrackingUnavailableError: the server does not answer, or the database cannot be opened.
    """
    uri = tracking_uri(workspace)
    probe(uri)
    _quieten(seconds)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    path = uri.removeprefix("sqlite:///")
    folder = Path(path).with_name("mlartifacts").resolve().as_uri() if path != uri else None
    workspace.state.mkdir(parents=True, exist_ok=True)
    try:
        # Two first users of a new database would both create its tables.
        with FileLock(workspace.state / "mlflow.lock", timeout=LOCK_SECONDS):
            client = MlflowClient(tracking_uri=uri)
            found = client.get_experiment_by_name(experiment)
            identity = found.experiment_id if found else client.create_experiment(experiment, artifact_location=folder)
    except Timeout:
        raise TrackingUnavailableError(
            f"another process has been opening {redacted(uri)} for {LOCK_SECONDS} s"
        ) from None
    except (MlflowException, OSError) as error:
        raise TrackingUnavailableError(f"MLflow at {redacted(uri)} does not work: {first_line(error)}") from error
    return Store(client, uri, identity)


def probe(uri: str) -> None:
    """Find out at once what MLflow would find out after long retries.

    Raises:
        TrackingUnavailableError: the server does not answer, or the file is no database.
    """
    if uri.startswith(("http://", "https://")):
        try:
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS).close()
        except urllib.error.HTTPError:
            return  # it answers; a proxy in front may not know /health
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
def answering(uri: str) -> Iterator[None]:
    """Say what MLflow's faults mean while the block runs.

    Raises:
        TrackingUnavailableError: MLflow broke off.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise TrackingUnavailableError(f"MLflow at {redacted(uri)} broke off: {first_line(error)}") from error


def _quieten(seconds: int) -> None:
    """MLflow's own settings: short waits, no retries, no news on the terminal."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(seconds))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.ERROR)


def first_line(error: BaseException) -> str:
    """An error in one line, without secrets."""
    return redacted((str(getattr(error, "reason", None) or error).splitlines() or [type(error).__name__])[0])
