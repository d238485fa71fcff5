"""One flow at a time in a workspace, and what it must find unchanged at its end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.runtime import flow_run

import sparsecbm
from sparsecbm.base.files import content_hash
from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.processes import find_processes, stage_mark, stop
from sparsecbm.pipeline.lock import flow_lock


@contextmanager
def exclusive_run(workspace: Workspace) -> Iterator[None]:
    """Hold the lock of the workspace's flows while the block runs; stages get the id of the flow run.

    Raises:
        WorkspaceBusyError: another flow is running in the workspace.
    """
    with flow_lock(workspace):
        stop(find_processes(stage_mark(workspace)))  # left of a flow that was killed: only the lock's holder runs any
        os.environ["SPARSECBM_FLOW_RUN_ID"] = str(flow_run.id or "")  # a tag of the stages' MLflow runs
        try:
            yield
        finally:
            del os.environ["SPARSECBM_FLOW_RUN_ID"]


def code_hashes(workspace: Workspace) -> dict[str, str]:
    """A hash of each folder whose code this run uses."""
    package = Path(sparsecbm.__file__).parent
    folders = {package, workspace.root / package.name, workspace.root / "flows"}
    return {str(folder): content_hash(folder) for folder in sorted(folders) if folder.is_dir()}
