"""The promotion service with a real MLflow server on loopback that also stores the files; and a server that stops."""

import copy
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient

from sparsecbm.orchestration.settings import answers
from sparsecbm.promote.registry import Registry
from sparsecbm.promote.service import PromotionService
from sparsecbm.track.store import TrackingUnavailableError, database
from tests.support.promotion_models import blind_to
from tests.support.tiny_pipeline import free_port

pytestmark = [pytest.mark.usefixtures("predict_in_process"), pytest.mark.slow]


@pytest.fixture
def server(make_promotion_service, monkeypatch):
    """Return the promotion service of a workspace with its own server, and the server."""
    local = make_promotion_service()
    url = f"http://127.0.0.1:{free_port()}"
    command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", url.rpartition(":")[2], "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database(local.workspace)}"]
    command += ["--artifacts-destination", str(local.workspace.state / "served")]
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    with open(local.workspace.state / "server.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=local.workspace.state, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + 120
    while not answers(f"{url}/health"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    params = local.params.model_copy(update={"track": local.params.track.model_copy(update={"experiment": "served"})})
    yield PromotionService.open(local.workspace, params), process
    process.terminate()
    process.wait(30)


def test_a_model_is_registered_judged_promoted_and_rolled_back(server, finish, good_model):
    service, process = server
    service.promote(finish(service, copy.deepcopy(good_model)).gate())
    assert service.registry.source(1).startswith("mlflow-artifacts:/")
    assert list((service.workspace.state / "served").rglob("model.safetensors"))
    local = MlflowClient(f"sqlite:///{database(service.workspace)}")
    assert Registry(local, service.registry.name).identity() == service.registry.identity()
    ledger = finish(service, blind_to(good_model, "noise")).gate()
    assert service.promote(ledger).action == "refuse"
    assert service.promote(ledger, force="a test").after == (2, 1)
    assert service.rollback("a test").after == (1, None)
    assert [entry.action for entry in service.registry.entries()] == ["promote", "refuse", "promote", "rollback"]
    process.terminate()
    process.wait(30)
    with pytest.raises(TrackingUnavailableError, match=r"MLflow at http://127\.0\.0\.1:\d+ failed: "):
        service.rollback("gone")
    with pytest.raises(TrackingUnavailableError, match="does not answer"):
        PromotionService.open(service.workspace, service.params)
