"""The origin of a result, as tags of an MLflow run: code, data, parameters and flow."""

import os
import subprocess

from sparsecbm.base.files import sha256_file
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.keys import content_hash

LOCK_TAG = "dvc.lock.sha256"
WRITTEN = ("dvc.lock", "metrics")  # tracked files that a run itself writes: a change there is no change of the code


def lock_sha256(workspace: Workspace) -> str | None:
    """sha256 of `dvc.lock`, which identifies all inputs and outputs of the pipeline; None before the first run."""
    lock = workspace.root / "dvc.lock"
    return sha256_file(lock) if lock.is_file() else None


def code_tags(workspace: Workspace) -> dict[str, str]:
    """Git commit, whether files differ from it, and the flow run; unknown ones are left out."""
    tags = {}
    commit = _git(workspace, "rev-parse", "HEAD")
    if commit:
        tags["git.commit"] = commit
        excluded = [f":(exclude){path}" for path in WRITTEN]
        tags["git.dirty"] = str(bool(_git(workspace, "status", "--porcelain", "--", ".", *excluded))).lower()
    if os.environ.get("SPARSECBM_FLOW_RUN_ID"):
        tags["prefect.flow_run_id"] = os.environ["SPARSECBM_FLOW_RUN_ID"]
    return tags


def result_tags(workspace: Workspace) -> dict[str, str]:
    """Hashes of the lock and of the ingested data."""
    tags = {}
    lock = lock_sha256(workspace)
    if lock:
        tags[LOCK_TAG] = lock
    if workspace.ingested.exists():
        tags["data.sha256"] = content_hash(workspace.ingested)
    return tags


def _git(workspace: Workspace, *arguments: str) -> str:
    """What a git command prints; nothing where there is no git or no commit."""
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=workspace.root, capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
