"""One Prefect server, worker and MLflow for all tests of flows: what `make up` starts, on free ports."""

import os
import shutil

import pytest

from tests.support.tiny_pipeline import ROOT, free_port, make_tiny_workspace


def project(workspace):
    """Give a tiny workspace the flows and the deployments of the real one."""
    shutil.copytree(ROOT / "flows", workspace.root / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "prefect.yaml", workspace.root)
    return workspace


@pytest.fixture(scope="session")
def services(tmp_path_factory):
    """The running services and their workspace; Prefect in this process talks to that server."""
    workspace = project(make_tiny_workspace(tmp_path_factory.mktemp("services") / "workspace"))
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
            patch.delenv(variable, raising=False)
        patch.setenv("PREFECT_HOME", str(workspace.state / "prefect"))
        patch.setenv("SPARSECBM_PREFECT_PORT", str(free_port()))
        patch.setenv("SPARSECBM_MLFLOW_PORT", str(free_port()))
        from flows.services import down, up
        from flows.settings import configure

        started = up(workspace)
        try:
            configure(workspace)
            assert os.environ["PREFECT_API_URL"] == started["prefect"].api
            yield workspace, started
        finally:
            os.environ.pop("PREFECT_API_URL", None)
            down(workspace)
