"""Run git in a repository."""

import subprocess
from pathlib import Path

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.redaction import redacted


class GitError(SparseCBMError):
    """A git command failed, or git is not installed."""


def git(root: Path, *arguments: str, timeout: float | None = None) -> str:
    """What a git command prints, without its last line end.

    Args:
        root: the folder to run in
        timeout: seconds; by default the command may take as long as it needs

    Raises:
        GitError: the command failed or took too long, or git is not installed. Passwords are hidden in the message.
    """
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} took more than {timeout:g} seconds in {root}") from None
    except OSError as error:
        raise GitError(f"git could not be started in {root}: {error.strerror or error}") from None
    if result.returncode != 0:
        message = redacted(result.stderr.strip() or result.stdout.strip())
        raise GitError(f"git {arguments[0]} failed in {root}: {message}")
    return result.stdout.removesuffix("\n")


def git_or_empty(root: Path, *arguments: str, timeout: float | None = None) -> str:
    """What a git command prints, or an empty text if it fails: for facts that are only known inside a repository."""
    try:
        return git(root, *arguments, timeout=timeout)
    except GitError:
        return ""
