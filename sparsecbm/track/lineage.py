"""The origin of a result, as tags of an MLflow run: code, data, parameters and flow."""

import os

from sparsecbm.base.files import content_hash, sha256_file
from sparsecbm.base.git import git_or_empty
from sparsecbm.base.workspace import Workspace

LOCK_TAG = "dvc.lock.sha256"
WRITTEN = ("dvc.lock", "metrics")  # tracked files that a run itself writes: a change there is no change of the code
TIMEOUT = 30  # seconds; a slow git must not hold up a run


def lock_sha256(workspace: Workspace) -> str | None:
    """sha256 of `dvc.lock`, which identifies all inputs and outputs of the pipeline; None before the first run."""
    lock = workspace.root / "dvc.lock"
    return sha256_file(lock) if lock.is_file() else None


def code_tags(workspace: Workspace) -> dict[str, str]:
    """Git commit, whether files differ from it, and the flow run; unknown ones are left out."""
    tags = {}
    commit = git_or_empty(workspace.root, "rev-parse", "HEAD", timeout=TIMEOUT)
    if commit:
        tags["git.commit"] = commit
        excluded = [f":(exclude){path}" for path in WRITTEN]
        tags["git.dirty"] = str(
            bool(git_or_empty(workspace.root, "status", "--porcelain", "--", ".", *excluded, timeout=TIMEOUT))
        ).lower()
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
