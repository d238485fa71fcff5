"""The clone of scheduled runs.

`python -m sparsecbm.orchestration.clone` brings it to the workspace's last commit and prints its path.
Nobody edits the clone. It shares the workspace's DVC cache and keeps its outputs and checkpoints from run to run, so
unchanged stages are not trained again.
"""

import sys
from pathlib import Path

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.git import GitError, git
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.printing.terminal import say
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.pipeline.lock import flow_lock
from sparsecbm.pipeline.shared_cache import check_out_data, share_cache
from sparsecbm.track.lineage import lock_sha256

RESULT = "dvc.lock"  # the file that identifies a run and its outputs, figures included
IDENTITY = ("-c", "user.name=sparsecbm", "-c", "user.email=sparsecbm@localhost")


class CloneError(SparseCBMError):
    """The clone cannot be created, or its results cannot be proposed."""


def refresh_clone(workspace: Workspace) -> Workspace:
    """Bring the clone to the workspace's last commit; create it if it is missing.

    Raises:
        WorkspaceBusyError: a flow is running in the clone.
        CloneError: the workspace is not a git repository with a commit.
        DataError: the DVC cache of the workspace lacks data of the commit.
    """
    clone = Workspace(workspace.state / "scheduled")
    if not (clone.root / ".git").is_dir():
        _git(workspace.root, "clone", "--quiet", str(workspace.root), str(clone.root))
    with flow_lock(clone):
        # A workspace that was copied holds a clone of the one that it was copied from.
        _git(clone.root, "remote", "set-url", "origin", str(workspace.root))
        _git(clone.root, "fetch", "--quiet", "origin", "HEAD")
        _git(clone.root, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
        _git(clone.root, "clean", "--quiet", "--force", "-d", "--exclude", RESULT)
        share_cache(workspace.root, clone.root)
        check_out_data(clone.root)
    return clone


def propose_results(clone: Workspace) -> str:
    """Push data to the DVC remote, if there is one, and `dvc.lock` as a commit to a branch of the origin.

    The clone itself stays at its commit, so that its next run finds its `dvc.lock`.

    Returns:
        a description of what was pushed

    Raises:
        CloneError: git or DVC failed.
    """
    done = []
    if run_dvc(clone.root, "config", "core.remote").stdout.strip():
        result = run_dvc(clone.root, "push", "--quiet", "--run-cache")
        if result.returncode != 0:
            raise CloneError(f"dvc push failed: {redacted(result.stderr.strip())}")
        done.append("pushed to the DVC remote")
    if _git(clone.root, "status", "--porcelain", "--untracked-files=all", "--", RESULT):
        branch = f"retrain/{(lock_sha256(clone) or '')[:8]}"
        _git(clone.root, "add", "--", RESULT)
        tree = _git(clone.root, "write-tree")
        _git(clone.root, "reset", "--quiet")
        message = "Results of a scheduled run"
        commit = _git(clone.root, *IDENTITY, "commit-tree", tree, "-p", "HEAD", "-m", message)
        _git(clone.root, "push", "--quiet", "--force", "origin", f"{commit}:refs/heads/{branch}")
        done.append(f"proposed as branch {branch}")
    return "; ".join(done) or "no results to propose"


def _git(root: Path, *arguments: str) -> str:
    try:
        return git(root, *arguments)
    except GitError as error:
        raise CloneError(str(error)) from None


def main() -> int:
    """Refresh the clone of this workspace and print its path, or one error message."""
    try:
        print(refresh_clone(Workspace.find()).root)
    except SparseCBMError as error:
        say(f"error: {error}", error=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
