"""The socket of the service: bound at once, open to clients when the model answers, and sparing with open files."""

import errno
import logging
import os
import resource
import socket
import time
from typing import Any

from sparsecbm.base.errors import ConfigError
from sparsecbm.serve.access_rules import AccessRules

BACKLOG = 2048  # connections that wait to be accepted
RESERVE = 32  # open files that no connection gets: for corrections, a registry and figures
LEAST = 64  # open files without which the service does not start
SILENT = 60  # seconds between two lines of the log about closed connections
_log = logging.getLogger(__name__)


class Listener(socket.socket):
    """A bound socket.

    It closes a connection at once if it would take one of the last open files that the system allows. So clients
    cannot make the service fail to accept, nor to write a correction.

    Attributes:
        most: open files of the process, those in reserve not included
    """

    def __init__(self, most: int) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.most = most
        self._closed_connections = 0
        self._told = -float(SILENT)

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection that may stay open."""
        while True:
            connection, address = super().accept()
            # A new file has the lowest free number, so all lower ones are open.
            if connection.fileno() < self.most:
                return connection, address
            connection.close()
            self._tell()

    def _tell(self) -> None:
        self._closed_connections += 1
        now = time.monotonic()
        if now - self._told >= SILENT:
            facts = {"closed": self._closed_connections, "remedy": "raise `ulimit -n`"}
            _log.warning("connections are closed, since too many files are open", extra={"facts": facts})
            self._told = now


def allow_open_files(wanted: int) -> int:
    """Raise the limit of open files as far as the system lets a process do it, and return the limit.

    Raises:
        ConfigError: the limit is too low to serve anybody.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [number for number in (wanted, hard) if number != resource.RLIM_INFINITY]
    if soft != resource.RLIM_INFINITY and soft < min(limits):
        soft = min(limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < LEAST:
        raise ConfigError(f"`ulimit -n` allows {soft} open files; the service needs at least {LEAST}")
    return wanted if soft == resource.RLIM_INFINITY else soft


def bind(access: AccessRules, open_files: int) -> Listener:
    """A socket at the address of the service. Clients are refused until `listen`.

    Args:
        open_files: that the system allows this process

    Raises:
        ConfigError: the port is not free, or the address is not of this machine.
    """
    unknown = f"--host: {access.host!r} is no IPv4 address or name of this machine; give one such as 127.0.0.1"
    listener = Listener(open_files - RESERVE)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an earlier service may just have ended
        listener.bind((access.host, access.port))
    except (TypeError, UnicodeError):  # which one depends on the characters
        listener.close()
        raise ConfigError(unknown) from None
    except OSError as error:
        listener.close()
        if error.errno is None or error.errno < 0 or error.errno == errno.EADDRNOTAVAIL:  # names have negative numbers
            raise ConfigError(unknown) from None
        raise _not_free(access, error) from None
    return listener


def listen(listener: Listener, access: AccessRules, connections: int) -> None:
    """Let clients connect, and log if there can be fewer connections than wanted.

    Raises:
        ConfigError: another process that was bound to the same port listens already.
    """
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise _not_free(access, error) from None
    possible = listener.most - len(os.listdir("/proc/self/fd"))
    if possible < connections:
        facts = {"connections": possible, "wanted": connections, "remedy": "raise `ulimit -n`"}
        _log.warning("the limit of open files allows few connections", extra={"facts": facts})


def _not_free(access: AccessRules, error: OSError) -> ConfigError:
    return ConfigError(f"port {access.port} on {access.host} is not free: {os.strerror(error.errno or 0)}")
