"""The promotion service of a workspace with a model and a record, and predictions without a subprocess."""

import pytest

from sparsecbm.promote import judging
from sparsecbm.promote import service as service_module
from sparsecbm.promote.artifacts import VersionPredictions
from sparsecbm.promote.pyfunc_model import PyfuncModel
from sparsecbm.promote.service import PromotionService
from tests.support.promotion_workspace import (
    finish_promotable,
    make_good_model,
    make_promotion_workspace,
    open_promotion,
)


@pytest.fixture
def good_model(backbone):
    """Return a model that predicts every concept and label of the tables correctly."""
    return make_good_model(backbone)


@pytest.fixture
def make_promotion_service(tmp_path, migrated, monkeypatch):
    """Return a function that makes the promotion service of a new workspace; its arguments change `promote`."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def make(**promote) -> PromotionService:
        return open_promotion(make_promotion_workspace(tmp_path / "workspace", migrated, **promote))

    return make


@pytest.fixture
def finish():
    """Return a function that saves a model in a workspace like a finished and recorded pipeline."""
    return finish_promotable


@pytest.fixture
def predict_in_process(monkeypatch):
    """Let versions predict in this process, which is fast; test_pyfunc_model.py tests the subprocess."""

    def predict(folder, texts, threads, seconds, timed=0, turns=None):
        pyfunc_model = PyfuncModel()
        pyfunc_model.load_context(type("Context", (), {"artifacts": {"model": folder / "artifacts" / "model"}}))
        rows = pyfunc_model.predict(None, texts).to_dict("records")
        label = _variable([row["probabilities"] for row in rows])
        names = rows[0]["concepts"]
        concepts = {name: _variable([row["concepts"][name]["probabilities"] for row in rows]) for name in names}
        return VersionPredictions(label, concepts, 1.0, 0.1)

    monkeypatch.setattr(judging, "predict_in_subprocess", predict)
    monkeypatch.setattr(service_module, "predict_in_subprocess", predict)


def _variable(rows):
    return {"states": list(rows[0]), "probabilities": [list(row.values()) for row in rows]}
