"""A quick test whether a tracking store answers; MLflow itself would retry for minutes."""

import http.client
import os
import socket
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote

from sparsecbm.base.addresses import HTTP, Address, parse_address
from sparsecbm.base.errors import ConfigError, SparseCBMError
from sparsecbm.base.redaction import redacted

PROBE_SECONDS = 3
LINE = 300  # a server may answer with a whole page
SQLITE, SQLITE_FILE = "sqlite:///", "sqlite+pysqlite:///file:"
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
DRIVERS = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient", "pymysql": "PyMySQL"}  # module -> package
LOCKED, READ_ONLY = ("database is locked", "database table is locked"), "readonly database"


class TrackingUnavailableError(SparseCBMError):
    """The tracking store cannot be reached or opened."""


def probe(uri: str, seconds: float = PROBE_SECONDS) -> Address:
    """Test quickly whether a store answers, and return the parts of its address.

    Args:
        seconds: how long to wait for a database file that another process has locked

    Raises:
        TrackingUnavailableError: the address is wrong, the server does not answer, a driver is missing, or the file is
            locked or not a database.
    """
    try:
        address = parse_address(uri)
    except ConfigError as error:
        raise TrackingUnavailableError(f"MLFLOW_TRACKING_URI: {error}") from None
    if address.scheme in HTTP:
        _probe_server(address)
    elif sqlite_path(uri):
        _probe_file(sqlite_path(uri), seconds)
    elif address.scheme in PORTS:
        _probe_database(address)
    return address


def sqlite_uri(path: str) -> str:
    """The address of an sqlite database at a path.

    SQLAlchemy ends a path at its first `?`, so such a path is written as one of sqlite's own file addresses.
    """
    return f"{SQLITE_FILE}{quote(path)}?uri=true" if "?" in path else f"{SQLITE}{path}"


def sqlite_path(uri: str) -> str:
    """The path in the address of an sqlite database; empty for any other address, and for one in memory."""
    if uri.startswith(SQLITE_FILE):
        return unquote(uri.removeprefix(SQLITE_FILE).partition("?")[0])
    return uri.removeprefix(SQLITE).partition("?")[0] if uri.startswith(SQLITE) else ""


def lock_holders(path: str) -> str:
    """The processes that hold a lock on an sqlite database, as `process 12 (python)`; `another process` if unknown."""
    inodes = {str(os.stat(name).st_ino) for name in (path, f"{path}-shm") if os.path.exists(name)}
    holders = set()
    try:
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if len(fields) > 5 and fields[5].rpartition(":")[2] in inodes and fields[3] == "WRITE":
                holders.add((int(fields[4]), Path(f"/proc/{int(fields[4])}/comm").read_text().strip()))
    except (OSError, ValueError):
        pass
    names = [f"process {pid} ({name})" for pid, name in sorted(holders) if pid != os.getpid()]
    return ", ".join(names) or "another process"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without secrets and control characters; at most `LINE` characters."""
    line = redacted((str(getattr(error, "reason", None) or error).splitlines() or [type(error).__name__])[0])
    line = "".join(character if character.isprintable() else "\ufffd" for character in line)
    return line if len(line) <= LINE else f"{line[: LINE - 1]}…"


def explain(uri: str, error: BaseException) -> str:
    """What an error of the store means, with the remedy."""
    message, path = first_line(error), sqlite_path(uri)
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = DRIVERS.get(error.name, error.name)
        return f"the driver {error.name!r} of this database is not installed; `pip install {package}`"
    if path and any(words in message for words in LOCKED):
        return f"the database is locked by {lock_holders(path)}; wait until it is free, then try again"
    if READ_ONLY in message:
        return f"{message}; make the database and its folder writable"
    return message


def _probe_server(address: Address) -> None:
    try:
        urllib.request.urlopen(f"{address.bare.rstrip('/')}/health", timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        return  # the server answers; a proxy in front of it may not know /health
    except (OSError, ValueError, http.client.HTTPException) as error:
        shown = redacted(address.uri)
        raise TrackingUnavailableError(f"MLflow at {shown} does not answer ({first_line(error)})") from None


def _probe_file(path: str, seconds: float) -> None:
    try:
        if os.path.exists(path):
            with closing(sqlite3.connect(path, timeout=seconds)) as connection:
                connection.execute("select count(*) from sqlite_master").fetchone()
            return
    except sqlite3.OperationalError as error:  # locked, or no permission: the file itself is fine
        reason = explain(f"{SQLITE}{path}", error)
        raise TrackingUnavailableError(f"the MLflow database {path} cannot be opened: {reason}") from None
    except sqlite3.Error as error:
        raise TrackingUnavailableError(
            f"the MLflow database {path} cannot be opened ({error}): put a backup back, with the services stopped "
            "(docs/operations.md); move it away only to begin a new record, without its runs and its registry"
        ) from None
    folder = next(folder for folder in Path(path).absolute().parents if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise TrackingUnavailableError(
            f"the MLflow database {path} cannot be created: nothing can be written to {folder}"
        )


def _probe_database(address: Address) -> None:
    """Connect once; the driver may wait for minutes for a host that does not answer, so its port comes first."""
    shown = redacted(address.uri)
    try:
        import sqlalchemy
        from sqlalchemy.pool import NullPool

        engine = sqlalchemy.create_engine(address.uri, poolclass=NullPool)
        if address.host and "," not in address.host:
            port = address.port or PORTS[address.scheme]
            socket.create_connection((address.host.strip("[]"), port), PROBE_SECONDS).close()
        engine.connect().close()
    except (OSError, UnicodeError) as error:
        raise TrackingUnavailableError(f"the database at {shown} does not answer ({first_line(error)})") from None
    except Exception as error:  # each driver has its own
        raise TrackingUnavailableError(
            f"the database at {shown} cannot be opened: {explain(address.uri, error)}"
        ) from None
