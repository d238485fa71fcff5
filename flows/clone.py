"""The clone that scheduled runs work in: `python -m flows.clone` brings it up to date and prints where it is.

Nobody edits it. It stands at the workspace's last commit, shares its DVC cache, and keeps its own outputs and
checkpoints from run to run, so that what did not change is not trained again.
"""

import configparser
import subprocess
import sys
from pathlib import Path

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.files import replacing
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.pipeline.lock import only_flow
from sparsecbm.track.lineage import lock_sha256

RESULTS = ("dvc.lock", "metrics")  # what a run changes among the files in git
IDENTITY = ("-c", "user.name=sparsecbm", "-c", "user.email=sparsecbm@localhost")


class CloneError(SparseCBMError):
    """The clone cannot be made, or its results cannot be handed back."""


def refresh(workspace: Workspace) -> Workspace:
    """Bring the clone to the workspace's last commit.

    Raises:
        WorkspaceBusyError: a run is working in it.
        CloneError: the workspace is no git repository with a commit.
    """
    clone = Workspace(workspace.state / "scheduled")
    if not (clone.root / ".git").is_dir():
        _git(workspace.root, "clone", "--quiet", str(workspace.root), str(clone.root))
    with only_flow(clone):
        _git(clone.root, "fetch", "--quiet", "origin", "HEAD")
        _git(clone.root, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
        _git(clone.root, "clean", "--quiet", "--force", "-d")
        _share_cache(workspace, clone)
    return clone


def propose(clone: Workspace) -> str:
    """Hand results back: push data to the DVC remote, if there is one, and a commit to a branch of the origin.

    Returns:
        what was done, in words

    Raises:
        CloneError: git or DVC refused.
    """
    done = []
    if run_dvc(clone.root, "config", "core.remote").stdout.strip():
        result = run_dvc(clone.root, "push", "--quiet", "--run-cache")
        if result.returncode != 0:
            raise CloneError(f"dvc push failed: {redacted(result.stderr.strip())}")
        done.append("pushed to the DVC remote")
    if _git(clone.root, "status", "--porcelain", "--", *RESULTS):
        branch = f"retrain/{(lock_sha256(clone) or '')[:8]}"
        _git(clone.root, "add", "--", *RESULTS)
        _git(clone.root, *IDENTITY, "commit", "--quiet", "--message", "Results of a scheduled run", "--", *RESULTS)
        _git(clone.root, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
        done.append(f"proposed as branch {branch}")
    return "; ".join(done) or "nothing to hand back"


def _share_cache(workspace: Workspace, clone: Workspace) -> None:
    """Give the clone the workspace's local DVC settings, remotes and secrets among them, and its cache."""
    result = run_dvc(workspace.root, "cache", "dir")
    if result.returncode != 0:
        raise CloneError(f"dvc cache dir failed: {redacted(result.stderr.strip())}")
    settings = configparser.RawConfigParser()
    settings.read(workspace.root / ".dvc" / "config.local", encoding="utf-8")
    if not settings.has_section("cache"):
        settings.add_section("cache")
    settings.set("cache", "dir", str(workspace.root / result.stdout.strip()))
    with replacing(clone.root / ".dvc" / "config.local") as temporary, open(temporary, "w", encoding="utf-8") as file:
        temporary.chmod(0o600)
        settings.write(file)


def _git(root: Path, *arguments: str) -> str:
    cwd = root if root.is_dir() else None
    result = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = redacted(result.stderr.strip() or result.stdout.strip())
        raise CloneError(f"git {arguments[0]} failed in {root}: {said}")
    return result.stdout.strip()


def main() -> int:
    """Refresh the clone of this workspace; its path, or one message."""
    try:
        print(refresh(Workspace.find()).root)
    except SparseCBMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
