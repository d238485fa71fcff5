"""Addresses of artifacts follow a workspace that was copied or moved.

MLflow keeps absolute addresses, so a copy would write its artifacts into the folder that it was copied from. When a
workspace's own database is opened at another path, all addresses below the old `.sparsecbm/mlartifacts` are changed to
the folder next to the database, in one transaction.
"""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sparsecbm.track.probe import TrackingUnavailableError

STATE, DATABASE, ARTIFACTS = ".sparsecbm", "mlflow.db", "mlartifacts"
TAIL = f"/{STATE}/{ARTIFACTS}"
ADDRESSES = (  # (table, column) of MLflow's schema
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("model_versions", "source"),
    ("model_versions", "storage_location"), ("logged_models", "artifact_location"),
)  # fmt: skip
WAIT_SECONDS = 30


def follow_workspace(path: str) -> None:
    """Change the addresses in a workspace's own database to where the workspace is now; any other database stays.

    Raises:
        TrackingUnavailableError: the workspace was copied without its artifacts, or the database cannot be written.
    """
    database = Path(path).resolve()
    if (database.name, database.parent.name) != (DATABASE, STATE) or not database.exists():
        return
    folder = database.with_name(ARTIFACTS)
    try:
        with closing(sqlite3.connect(database, timeout=WAIT_SECONDS, isolation_level=None)) as connection:
            columns = _known_columns(connection)
            earlier = [root for root in _roots(connection, columns) if not _same(root, folder)]
            if not earlier:
                return
            for root in earlier:
                _check_copied(root, folder)
            connection.execute("begin immediate")
            for root in earlier:
                _replace(connection, columns, root, folder.as_uri())
            connection.execute("commit")
    except sqlite3.Error as error:
        raise TrackingUnavailableError(
            f"this workspace was copied or moved; {database} still names the old place and cannot be written: {error}"
        ) from None
    places = ", ".join(str(_path(root).parent.parent) for root in earlier)
    print(f"MLflow's record follows this workspace, which was copied or moved from {places}", file=sys.stderr)


def _known_columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Those of `ADDRESSES` that this version of the schema has."""
    return [
        (table, column)
        for table, column in ADDRESSES
        if connection.execute("select 1 from pragma_table_info(?) where name = ?", (table, column)).fetchone()
    ]


def _roots(connection: sqlite3.Connection, columns: list[tuple[str, str]]) -> list[str]:
    """The folders of artifacts of workspaces that the database names, as addresses."""
    roots = set()
    for table, column in columns:
        query = f"select distinct {column} from {table} where {column} like 'file:///%{TAIL}%'"
        for (address,) in connection.execute(query):
            head, tail, rest = address.partition(TAIL)
            if not rest or rest.startswith("/"):
                roots.add(head + tail)
    return sorted(roots)


def _same(root: str, folder: Path) -> bool:
    """Whether an address names a folder; it may do so through a link or another mount."""
    path = _path(root)
    return path == folder or (path.exists() and folder.exists() and os.path.samefile(path, folder))


def _check_copied(root: str, folder: Path) -> None:
    path = _path(root)
    if path.is_dir() and not folder.is_dir():
        raise TrackingUnavailableError(
            f"this workspace was copied from {path.parent.parent} without the artifacts of its MLflow record; "
            f"copy {path} to {folder}, or set MLFLOW_TRACKING_URI to another store"
        )


def _replace(connection: sqlite3.Connection, columns: list[tuple[str, str]], root: str, address: str) -> None:
    for table, column in columns:
        connection.execute(
            f"update {table} set {column} = ? || substr({column}, ?) where {column} = ? or substr({column}, 1, ?) = ?",
            (address, len(root) + 1, root, len(root) + 1, f"{root}/"),
        )


def _path(root: str) -> Path:
    return Path(unquote(urlsplit(root).path))
