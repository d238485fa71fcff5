"""One Prefect server, worker and MLflow server for all tests of flows, started like `sparsecbm up`, on free ports."""

import importlib
import os

import pytest

from tests.support.tiny_pipeline import add_flows, free_port, make_tiny_workspace


@pytest.fixture(scope="session")
def services(tmp_path_factory):
    """Return the workspace and its running services; Prefect in this process uses this server."""
    workspace = add_flows(make_tiny_workspace(tmp_path_factory.mktemp("services") / "workspace"))
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
            patch.delenv(variable, raising=False)
        patch.setenv("PREFECT_HOME", str(workspace.state / "prefect"))
        patch.setenv("SPARSECBM_PREFECT_PORT", str(free_port()))
        patch.setenv("SPARSECBM_MLFLOW_PORT", str(free_port()))
        from sparsecbm.orchestration.services import down, up
        from sparsecbm.orchestration.settings import configure

        started = up(workspace)
        try:
            configure(workspace)
            from prefect.context import refresh_global_settings_context

            refresh_global_settings_context()  # an earlier test without a server may have imported Prefect already
            # The first import of a flow takes settings and password of the workspace around the working directory.
            with patch.context() as inside:
                inside.chdir(workspace.root)
                importlib.import_module("flows.retrain")
                importlib.import_module("flows.promotion")
            assert os.environ["PREFECT_API_URL"] == started["prefect"].api
            yield workspace, started
        finally:
            os.environ.pop("PREFECT_API_URL", None)
            down(workspace)
