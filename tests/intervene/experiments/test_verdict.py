"""Gates and their verdict."""

import pytest

from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.intervene.experiments.verdict import GATES, Gate, judge, least_rise, verdict

FIGURES = {
    "concept_rise": 0.01, "hard_label_gain": 0.0, "repaired": 0.9, "harm": 0.002, "random_flips": 0.0, "restored": 1.0
}  # fmt: skip
BOUNDS = load_params(Workspace.find().params).intervene.gates.model_dump()


def test_figures_within_all_bounds_pass():
    gates = judge(FIGURES, BOUNDS, {})
    assert [gate.name for gate in gates] == list(GATES) == list(BOUNDS)
    assert verdict(gates) == "passed"


@pytest.mark.parametrize(
    ("name", "value"), [("concept_rise", -0.01), ("harm", 0.011), ("restored", 0.99), ("repaired", None)]
)
def test_one_failed_gate_fails_the_model_with_a_reason(name, value):
    gates = judge({**FIGURES, name: value}, BOUNDS, {})
    assert verdict(gates) == "failed"
    [failed] = [gate.to_dict() for gate in gates if not gate.passed]
    assert failed["name"] == name and failed["value"] == value and failed["passed"] is False
    assert ("could not be measured" if value is None else f"{value:g} is ") in failed["reason"]


def test_a_figure_at_the_bound_passes_and_the_published_form_has_one_bound():
    assert Gate("a", 0.8, "x", at_least=0.8).to_dict() == {
        "name": "a", "value": 0.8, "at_least": 0.8, "passed": True, "reason": "x"
    }  # fmt: skip
    assert Gate("b", 0.2, "x", at_most=0.1).to_dict() == {
        "name": "b", "value": 0.2, "at_most": 0.1, "passed": False, "reason": "x; 0.2 is above 0.1"
    }  # fmt: skip


def test_the_smallest_rise_by_hand():
    assert least_rise((0.5, 0.7, 0.75)) == 0.05
    assert least_rise((0.5, 0.7, 0.6)) == -0.1


@pytest.mark.parametrize(("interval", "passed"), [((0.551, 0.88), True), ((0.427, 0.788), False)])
def test_a_gate_fails_only_if_the_whole_interval_is_beyond_the_bound(interval, passed):
    """18 and 15 of 24, by Wilson's interval."""
    [gate] = [g for g in judge({**FIGURES, "repaired": 0.7}, BOUNDS, {"repaired": interval}) if g.name == "repaired"]
    assert gate.passed == passed and gate.to_dict()["interval"] == list(interval)
    low, high = interval
    doubt = ", but not surely" if passed else ""
    assert gate.to_dict()["reason"].endswith(f"; 0.7 ({low:g} to {high:g}) is below 0.8{doubt}")
    most = Gate("harm", 0.02, "x", at_most=0.01, interval=(0.012 if not passed else 0.008, 0.03))
    assert most.passed == passed
