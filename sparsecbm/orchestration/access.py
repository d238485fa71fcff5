"""The workspace's password for the API of its Prefect server and for MLflow's pages.

`user:password` stands in a file that only its owner may read. No argument, log or message holds it.
"""

import contextlib
import os
import secrets
from pathlib import Path

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.workspace import Workspace

USER = "sparsecbm"
PASSWORD_BYTES = 24


def access_file(workspace: Workspace) -> Path:
    """The file that holds `user:password`."""
    return workspace.state / "access"


def access(workspace: Workspace) -> str:
    """`user:password` of this workspace's services; the first call creates it.

    Raises:
        ConfigError: the file cannot be written or holds something else.
    """
    path = access_file(workspace)
    try:
        if not path.exists():
            workspace.writable_state()
            _create(path)
        path.chmod(0o600)
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be used: {getattr(error, 'strerror', None) or error}; {_remedy(path)}"
        ) from None
    user, _, password = text.partition(":")
    if user != USER or len(password) < PASSWORD_BYTES or not password.isalnum():
        raise ConfigError(f"{path} holds no password of this project; {_remedy(path)}")
    return text


def credentials(workspace: Workspace) -> tuple[str, str]:
    """User and password."""
    user, _, password = access(workspace).partition(":")
    return user, password


def _create(path: Path) -> None:
    """Write a new password; of several callers that do so at once, all then read the one that came first."""
    # The name is random, since threads of one process share its number.
    temporary = path.with_name(f".access.{secrets.token_hex(8)}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="ascii") as file:
            file.write(f"{USER}:{secrets.token_hex(PASSWORD_BYTES)}\n")
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _remedy(path: Path) -> str:
    return f"stop the services (sparsecbm down) and remove it (rm -r {path}), a new one is made"
