"""The registry of attribution methods agrees with the configuration, and each method has its stated properties."""

from typing import get_args

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import load_params, parse_params
from sparsecbm.base.params.explain import Explain
from sparsecbm.base.params.faithfulness import Method
from sparsecbm.explain.attribution import attribute
from sparsecbm.explain.explainer import SUFFICIENT
from sparsecbm.explain.methods import METHODS
from sparsecbm.explain.subject import BASELINES
from sparsecbm.explain.variants import KINDS
from tests.support.linear_model import linear_model
from tests.support.project import ROOT


def test_the_configuration_offers_the_methods_of_the_registry():
    assert get_args(Method) == get_args(Explain.model_fields["method"].annotation) == tuple(METHODS)


def test_parameters_that_name_a_method_of_earlier_versions_are_refused_with_the_choices():
    values = load_params(ROOT / "params.yaml").model_dump(by_alias=True)
    values["explain"]["method"] = "gradient_x_input"
    with pytest.raises(ConfigError, match=r"explain\.method.*mid_path_gradients"):
        parse_params(values)


def test_the_configuration_offers_the_baselines_and_kinds_of_units():
    assert get_args(Explain.model_fields["baseline"].annotation) == BASELINES
    (kinds,) = get_args(Explain.model_fields["units"].annotation)
    assert get_args(kinds) == (*KINDS, SUFFICIENT)


@pytest.mark.parametrize(("name", "gap"), [("integrated_gradients", 0.0), ("leave_one_out", -0.15)])
def test_only_a_complete_method_adds_up_to_the_change(name, gap):
    """The linear model of "good bad food" changes by 0.6; words left out add up to 0.45."""
    (attributions,) = attribute(linear_model(), ["good bad food"], states={"food": "Positive"}, method=name)
    assert attributions["food"].gap == pytest.approx(gap, abs=1e-6)
    assert METHODS[name].complete == (gap == 0.0)


@pytest.mark.parametrize("name", METHODS)
def test_only_gradient_methods_compute_gradients(model, name):
    (attributions,) = attribute(model, ["the food was good"], method=name)
    assert (attributions["food"].steps > 0) == METHODS[name].by_gradients


def test_exactly_one_method_is_the_control():
    assert [name for name, method in METHODS.items() if method.is_control] == ["random"]
