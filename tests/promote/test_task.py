"""Names of registered models follow the data, and models with different tasks do not compete."""

import pytest

from sparsecbm.base.params import Params, load_params
from sparsecbm.promote.artifacts import VersionPredictions
from sparsecbm.promote.model_name import model_name
from sparsecbm.promote.registry import Registry, RegistryError
from sparsecbm.promote.task import check_same_task
from tests.support.fake_mlflow_client import FakeClient
from tests.support.tiny_pipeline import ROOT

COLUMNS = {"text": "t", "label": "l", "concepts": {"a": {"column": "a"}}}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ({"name": "restaurants"}, "sparsecbm"),
        ({"name": "cebab"}, "sparsecbm-cebab"),
        ({"name": "imdb-c", "path": "x"}, "sparsecbm-imdb-c"),
        ({"name": "table", "path": "data/my reviews.26.csv", "columns": COLUMNS}, "sparsecbm-my_reviews.26"),
        ({"name": "table", "path": "/" + "é" * 200, "columns": COLUMNS}, "sparsecbm-" + "é" * 60),
        ({"name": "hub", "dataset": "org/set", "columns": COLUMNS}, "sparsecbm-org_set"),
    ],
)  # fmt: skip
def test_the_name_follows_the_data_unless_it_is_given(source, name):
    plain = load_params(ROOT / "params.yaml").model_dump(mode="json", by_alias=True) | {"source": source}
    assert model_name(Params.model_validate(plain)) == name
    plain["promote"]["model"] = "my-own"
    assert model_name(Params.model_validate(plain)) == "my-own"


def predictions(label, *concepts):
    variable = {"states": list(label), "probabilities": []}
    return VersionPredictions(variable, dict.fromkeys(concepts, variable), None, 1.0)


RESTAURANTS = predictions("123", "food", "noise")


@pytest.mark.parametrize(
    "champion",
    [
        predictions("12", "delivery", "quality"),
        predictions("123", "delivery"),  # equal states of the label, but nothing else in common
        predictions("45", "food"),
        predictions("xy"),
    ],
)
def test_another_task_is_refused_by_name(champion):
    registry = Registry(FakeClient(), "m")
    message = (
        r"version 7, the champion of model 'm', has another task: .* predicts 1, 2, 3 from food, noise\. Set promote"
    )
    with pytest.raises(RegistryError, match=message):
        check_same_task(registry, 7, RESTAURANTS, champion)


@pytest.mark.parametrize(
    "champion",
    [
        RESTAURANTS, predictions("321", "noise", "food"), predictions("123", "food"), predictions("123"),
        predictions("12", "food", "noise"), predictions("123", "food", "noise", "view"),
    ],
)  # fmt: skip
def test_a_task_that_only_grew_can_be_compared(champion):
    check_same_task(Registry(FakeClient(), "m"), 7, RESTAURANTS, champion)


def test_black_boxes_are_compared_by_their_labels():
    registry = Registry(FakeClient(), "m")
    check_same_task(registry, 7, predictions("12"), predictions("21"))
    with pytest.raises(RegistryError, match=r"from none"):
        check_same_task(registry, 7, predictions("12"), predictions("13"))
