"""Gates on figures by hand: wins, ties, regressions, failures, and figures without a verdict."""

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.metrics import MISSING, expected_calibration_error
from sparsecbm.base.params import Evaluate, load_params, parse_params, read_yaml
from sparsecbm.base.params.promote import FigureGate, Gate
from sparsecbm.drift.windows import Window
from sparsecbm.evaluate.variables import VariablePredictions
from sparsecbm.promote.artifacts import VersionPredictions
from sparsecbm.promote.gates import Evidence, apply_gates
from sparsecbm.promote.ledger import HOLD, NOT_JUDGED, PROMOTE, REJECT, Ledger, Row
from sparsecbm.promote.version_scores import bootstrap_score, compare_scores
from tests.support.tiny_pipeline import ROOT

TEXTS = 40
STATES = ["no", "yes"]
SETTINGS = Evaluate(bootstrap=300, calibration_bins=10, effect_texts=100)


def frame():
    """Return a table in which half of the texts are `yes`, each in its own cluster; `rare` has no gold states."""
    gold = ["yes" if i % 2 else "no" for i in range(TEXTS)]
    return pd.DataFrame({
        "label": gold, "group": [str(i) for i in range(TEXTS)],
        "concept.food": gold, "concept.noise": gold, "concept.rare": [None] * TEXTS,
    })  # fmt: skip


def variable(wrong=0, confidence=0.9, states=STATES):
    """Return predictions of one variable with equal confidence; the first `wrong` texts get the wrong state."""
    rows = []
    for i in range(TEXTS):
        state = i % 2 if i >= wrong else 1 - i % 2
        rows.append([confidence if index == state else 1 - confidence for index in range(2)])
    return {"states": states, "probabilities": rows}


def predictions(label=0, food=0, noise=0, size=10.0, latency=5.0, **more):
    concepts = {"food": variable(food), "noise": variable(noise)}
    return VersionPredictions(variable(label), {**concepts, **more}, latency, size)


def rows(gates, challenger, champion=None, figures=None):
    parsed = tuple(TypeAdapter(Gate).validate_python(gate) for gate in gates)
    evidence = Evidence(frame(), challenger, champion, figures or {}, SETTINGS, 13)
    return {row.figure: row for row in apply_gates(parsed, evidence)}


def drift_row(windows, **gate):
    gate = TypeAdapter(Gate).validate_python(
        {"kind": "drift", "name": "drift", "failed": "hold", "required": False, **gate}
    )
    evidence = Evidence(frame(), predictions(), None, {}, SETTINGS, 13, windows)
    return apply_gates((gate,), evidence)[0]


def score(metric, bound=0.5, margin=0.05):
    return {"kind": "score", "name": "g", "of": metric, "bound": bound, "margin": margin}


def figure(key, **condition):
    return {"kind": "figure", "name": "g", "file": "prune", "key": key, "failed": "hold", "required": True, **condition}


@pytest.mark.parametrize(
    ("mine", "theirs", "outcome", "gap"),
    [(0, 10, "win", 0.25), (10, 0, "regression", -0.25), (4, 4, "tie", 0.0), (3, 2, "tie", -0.025)],
)
def test_the_label_is_compared_with_the_champion(mine, theirs, outcome, gap):
    row = rows([score("label.accuracy")], predictions(label=mine), predictions(label=theirs))["label.accuracy"]
    assert (row.outcome, row.effect) == (outcome, "hold" if outcome == "regression" else "")
    assert (row.value, row.champion) == ((TEXTS - mine) / TEXTS, (TEXTS - theirs) / TEXTS)
    assert row.difference == pytest.approx(gap)
    assert row.interval[0] <= gap <= row.interval[1]


def test_a_loss_beyond_the_margin_is_a_regression_even_if_it_is_not_significant():
    gates = [score("label.accuracy", margin=0.02)]
    row = rows(gates, predictions(label=1), predictions())["label.accuracy"]
    assert (row.outcome, row.interval[1]) == ("regression", 0.0)
    assert row.reason == "worse than the champion beyond the margin: 0.975 against 1.000"
    assert (
        rows([score("label.accuracy", margin=0.03)], predictions(label=1), predictions())["label.accuracy"].outcome
        == "tie"
    )


def test_one_concept_below_its_floor_fails_with_any_mean():
    outcomes = rows([score("concepts.*.accuracy", 0.8), score("concepts.mean.accuracy", 0.8)], predictions(noise=12))
    assert (outcomes["concepts.food.accuracy"].outcome, outcomes["concepts.noise.accuracy"].outcome) == (
        "passed",
        "failed",
    )
    assert outcomes["concepts.noise.accuracy"].effect == "reject"
    assert outcomes["concepts.noise.accuracy"].reason == "0.700 is below 0.8"
    assert (outcomes["concepts.mean.accuracy"].outcome, outcomes["concepts.mean.accuracy"].value) == ("passed", 0.85)


@pytest.mark.parametrize(
    ("wrong", "outcome", "reason"),
    [
        (19, "passed", ""),
        (20, "failed", "0.500 is not above 0.500, the accuracy of always answering this split's commonest state"),
    ],
)
def test_the_commonest_state_can_be_the_bound(wrong, outcome, reason):
    row = rows([score("label.accuracy", "majority")], predictions(label=wrong))["label.accuracy"]
    assert (row.outcome, row.reason) == (outcome, reason)


def test_the_commonest_states_of_several_concepts_are_averaged_over_texts_with_gold():
    evidence = Evidence(frame(), predictions(food=8, noise=9), None, {}, SETTINGS, 13)
    evidence.frame["concept.noise"] = ["yes"] * 18 + ["no"] * 2 + [None] * 20  # .9; food has .5
    gates = [score("concepts.mean.accuracy", "majority"), score("concepts.food.accuracy", "majority")]
    parsed = tuple(TypeAdapter(Gate).validate_python(gate) for gate in gates)
    mean, food = apply_gates(parsed, evidence)
    assert mean.wanted == "above 0.700 (commonest state)" and food.wanted == "above 0.500 (commonest state)"


def test_the_condition_names_the_champion_only_if_there_is_one():
    gates = [score("label.accuracy"), {"kind": "cost", "name": "c", "of": "size_mb", "bound": 20, "times": 1.5}]
    alone = rows(gates, predictions())
    assert [row.wanted for row in alone.values()] == ["at least 0.5", "at most 20"]
    beside = rows(gates, predictions(), predictions())
    wanted = ["at least 0.5, and worse by no more than 0.05", "at most 20, and 1.5 times the champion's"]
    assert [row.wanted for row in beside.values()] == wanted


def test_the_commonest_state_is_no_bound_of_a_calibration_error():
    content = read_yaml(ROOT / "params.yaml")
    content["promote"]["gates"] = [score("label.calibration_error", "majority")]
    with pytest.raises(ConfigError) as fault:
        parse_params(content, "params.yaml")
    assert "bound `majority` is for accuracies; give a number for label.calibration_error" in str(fault.value)


def test_a_smaller_calibration_error_is_better():
    sure, modest = predictions(label=0), VersionPredictions(variable(0, 0.6), {}, 1.0, 1.0)
    row = rows([score("label.calibration_error", 0.5)], sure, modest)["label.calibration_error"]
    assert (row.value, row.champion, row.outcome) == (pytest.approx(0.1), pytest.approx(0.4), "win")
    row = rows([score("label.calibration_error", 0.5)], modest, sure)["label.calibration_error"]
    assert (row.outcome, row.difference) == ("regression", pytest.approx(-0.3))
    row = rows([score("label.calibration_error", 0.3)], modest)["label.calibration_error"]
    assert (row.outcome, row.reason) == ("failed", "0.400 is above 0.3")


def test_calibration_errors_of_resamples_equal_those_of_the_drawn_texts():
    draw = np.random.default_rng(0)
    probabilities = draw.dirichlet([1, 1, 1], 30)
    gold = np.where(draw.random(30) < 0.1, MISSING, draw.integers(0, 3, 30))
    one = VariablePredictions(("a", "b", "c"), gold, probabilities, np.zeros(30, int))
    score = bootstrap_score(one, "calibration_error", 5, 1, 10)  # one cluster: every resample holds all texts
    assert score.value == pytest.approx(expected_calibration_error(probabilities, gold, 10))
    assert score.draws == pytest.approx([score.value] * 5)
    assert compare_scores(score, score, "calibration_error").interval == (0.0, 0.0)


def test_a_figure_without_comparison_is_not_judged_and_holds():
    other = VersionPredictions(variable(0, states=["low", "high"]), {"food": variable()}, 1.0, 1.0)
    outcomes = rows([score("label.accuracy"), score("concepts.*.accuracy")], predictions(), other)
    assert (outcomes["label.accuracy"].outcome, outcomes["label.accuracy"].effect) == (NOT_JUDGED, "hold")
    assert outcomes["concepts.noise.accuracy"].reason == (
        "not judged: the champion does not predict noise with the same states"
    )
    assert outcomes["concepts.food.accuracy"].outcome == "tie"


def test_a_variable_without_gold_in_the_split_is_not_judged():
    outcomes = rows([score("concepts.*.accuracy")], predictions(rare=variable(), unheard=variable()))
    assert outcomes["concepts.rare.accuracy"].reason == "not judged: no text of the split has a gold state for it"
    assert outcomes["concepts.unheard.accuracy"].reason.startswith("not judged: the split has no gold for unheard")
    black_box = VersionPredictions(variable(), {}, 1.0, 1.0)
    assert rows([score("concepts.mean.accuracy")], black_box)["concepts.mean.accuracy"].effect == "hold"


def test_figures_are_selected_by_key_and_missing_ones_never_pass():
    figures = {"prune": {"gap": {"food": {"value": 0.4}, "noise": {"value": 0.05}}, "word": "passed", "none": None}}
    outcomes = rows([figure("gap.*.value", at_least=0.1)], predictions(), figures=figures)
    assert outcomes["prune:gap.food.value"].outcome == "passed"
    row = outcomes["prune:gap.noise.value"]
    assert (row.outcome, row.effect, row.reason) == ("failed", "hold", "0.05 is not at least 0.1")
    assert rows([figure("word", equals="passed")], predictions(), figures=figures)["prune:word"].outcome == "passed"
    row = rows([figure("word", equals="failed", failed="reject")], predictions(), figures=figures)["prune:word"]
    assert (row.outcome, row.effect) == ("failed", "reject")
    for key in ("gap.*.worth", "none.of.it", "nothing"):
        row = rows([figure(key, at_least=0)], predictions(), figures=figures)[f"prune:{key}"]
        assert (row.outcome, row.effect) == (NOT_JUDGED, "hold")
        assert row.reason.startswith("not judged: metrics/prune.json has no such key: it is misspelt, or")
    row = rows([figure("none", at_most=1)], predictions(), figures=figures)["prune:none"]
    assert (row.outcome, row.reason) == (NOT_JUDGED, "not judged: None is not a number")
    row = rows([figure("gap", at_least=0, required=False)], predictions())["prune:gap"]
    assert (row.outcome, row.effect, row.reason) == (
        NOT_JUDGED,
        "",
        "not judged: the version holds no metrics/prune.json",
    )


def test_costs_have_an_absolute_bound_and_a_multiple_of_the_champion():
    def cost(mine, theirs=None):
        gate = {"kind": "cost", "name": "g", "of": "size_mb", "bound": 30, "times": 1.5}
        return rows([gate], predictions(size=mine), theirs and predictions(size=theirs))["size_mb"]

    assert (cost(10).outcome, cost(14, 10).outcome) == ("passed", "tie")
    assert (cost(16, 10).outcome, cost(16, 10).effect) == ("regression", "hold")
    assert (cost(31, 30).outcome, cost(31, 30).effect) == ("failed", "reject")
    unmeasured = {"kind": "cost", "name": "g", "of": "latency_ms", "bound": 30, "times": 1.5}
    assert rows([unmeasured], predictions(latency=None))["latency_ms"].outcome == NOT_JUDGED


@pytest.mark.parametrize(
    ("bound", "interval", "reason"),
    [
        ({"at_least": 0.1}, [-0.065, 0.229],
         "0.083 is not at least 0.1; its 95 % interval is -0.065 to 0.229, which reaches that: the texts are too few "
         "to tell"),
        ({"at_least": 0.1}, [0.05, 0.099],
         "0.083 is not at least 0.1; its 95 % interval is 0.050 to 0.099, which does not reach that"),
        ({"at_most": 0.05}, [0.04, 0.1],
         "0.083 is not at most 0.05; its 95 % interval is 0.040 to 0.100, which reaches that: the texts are too few "
         "to tell"),
        ({"at_most": 0.05}, [0.06, 0.1],
         "0.083 is not at most 0.05; its 95 % interval is 0.060 to 0.100, which does not reach that"),
        ({"at_least": 0.1}, None, "0.083 is not at least 0.1"),
        ({"equals": "passed"}, [0, 1], "0.083 is not equal to passed"),
    ],
)  # fmt: skip
def test_a_figure_that_fails_names_its_interval_and_still_holds(bound, interval, reason):
    gate = {"kind": "figure", "name": "specificity", "file": "prune", "key": "gap.*.value", "failed": "hold",
            "required": True, **bound}  # fmt: skip
    figures = {"prune": {"gap": {"staff": {"value": 0.083, "interval": interval}, "other": {"value": 0.083}}}}
    row = rows([gate], predictions(), figures=figures)["prune:gap.staff.value"]
    assert (row.outcome, row.effect, row.reason) == ("failed", "hold", reason)


def ledger(*ledger_rows, champion=1, ties="hold"):
    return Ledger("m", 2, champion, "test", "f" * 64, 40, ledger_rows, (), ties)


def test_the_worst_row_determines_the_verdict():
    win, tie = Row("a", "x", "win"), Row("b", "y", "tie")
    hold, reject = Row("c", "z", "regression", "hold", reason="worse"), Row("d", "w", "failed", "reject", reason="low")
    assert ledger(win, tie).verdict == PROMOTE
    assert ledger(win, hold).verdict == HOLD
    assert ledger(win, hold, reject).verdict == REJECT
    assert ledger(tie).verdict == HOLD
    assert ledger(tie, ties="promote").verdict == PROMOTE
    assert ledger(Row("a", "x", "passed"), champion=None).verdict == PROMOTE
    assert ledger(win, hold, reject).reasons == (
        "c (z): worse", "d (w): low", "significantly better than version 1 in: x",
    )  # fmt: skip
    optional = Row("e", "v", "not judged", reason="no figure")
    assert ledger(optional, win, hold).reasons == (
        "c (z): worse", "significantly better than version 1 in: x", "note, holds nothing back: e (v) no figure",
    )  # fmt: skip
    assert ledger(optional, win).verdict == PROMOTE
    assert "| c | `z` | **regression** (hold) |" in ledger(win, hold).to_markdown()
    name = "explain:faithfulness.methods.integrated_gradients.comprehensiveness.delete.mean.excess"
    assert "| `explain:…ehensiveness.delete.mean.excess` |" in ledger(Row("e", name, "passed")).to_markdown()
    assert "-0.000" not in ledger(Row("b", "y", "tie", difference=-0.0)).to_markdown()


def test_the_shipped_gates_are_valid_and_errors_name_faults_in_gates():
    names = [gate.name for gate in load_params(ROOT / "params.yaml").promote.gates]
    assert {"label", "each concept", "data", "specificity", "interventions", "faithfulness", "size"} <= set(names)
    content = read_yaml(ROOT / "params.yaml")
    content["promote"]["gates"] = [{**score("label.accuracy"), "boundd": 1}, figure("a", at_least=1, at_most=2)]
    with pytest.raises(ConfigError) as fault:
        parse_params(content)
    assert "promote.gates.0.boundd: unknown key 'boundd'. Did you mean 'bound'?" in str(fault.value)
    assert "gate 'g' needs one of at_least, at_most and equals" in str(fault.value)


VERDICT = FigureGate(kind="figure", name="interventions", file="intervene", key="verdict", equals="passed",
                     failed="hold", required=True)  # fmt: skip


def evidence_of(figures):
    return Evidence(frame(), None, None, figures, SETTINGS, 0)


@pytest.mark.parametrize(
    ("gate", "outcome", "reason"),
    [
        ({"value": 0.75, "at_least": 0.8, "interval": [0.64, 0.93]}, "undecided",
         "undecided: repaired is 0.750, wanted is at least 0.8; the interval 0.640 to 0.930 reaches it"),
        ({"value": 0.2, "at_most": 0.1}, "undecided", "undecided: repaired is 0.200, wanted is at most 0.1"),
        ({"value": 0.85, "at_least": 0.8, "interval": [0.64, 0.93]}, "passed", ""),
        ({"value": None, "at_least": 0.8}, "passed", ""),
    ],
)  # fmt: skip
def test_a_verdict_that_only_an_interval_lets_pass_is_undecided(gate, outcome, reason):
    figures = {"intervene": {"verdict": "passed", "gates": [{"name": "repaired", "passed": True, **gate}]}}
    (row,) = apply_gates((VERDICT,), evidence_of(figures))
    assert (row.outcome, row.effect, row.reason) == (outcome, "", reason)


def test_a_verdict_that_failed_stays_failed():
    gates = [{"name": "repaired", "passed": False, "value": 0.2, "at_least": 0.8, "interval": [0.1, 0.3]}]
    (row,) = apply_gates((VERDICT,), evidence_of({"intervene": {"verdict": "failed", "gates": gates}}))
    assert (row.outcome, row.effect, row.reason) == ("failed", "hold", "failed is not equal to passed")


def test_texts_of_today_that_trigger_drift_hold_a_challenger():
    drifting = [Window(table, "m", 500, ("rates: food", "length: texts")) for table in "ab"]
    row = drift_row(drifting)
    assert (row.outcome, row.effect, row.value) == ("failed", "hold", 2)
    assert row.reason == "length: texts, rates: food drifted in 2 windows running"
    assert drift_row(drifting, failed="reject").effect == "reject"


def test_one_window_of_drift_or_none_passes_the_gate():
    once = [Window("a", "m", 500, ("rates: food",)), Window("b", "m", 500, ())]
    assert (drift_row(once).outcome, drift_row(once[:1]).outcome) == ("passed", "passed")


@pytest.mark.parametrize(("required", "effect"), [(True, "hold"), (False, "")])
def test_without_texts_of_today_drift_is_not_judged(required, effect):
    row = drift_row([], required=required)
    assert (row.outcome, row.effect) == (NOT_JUDGED, effect)
    assert "by `sparsecbm drift`" in row.reason


def subgroup_row(regions, **gate):
    """Judge subgroups given as name -> (texts, accuracy, low, high) of the label."""
    settings = {"kind": "subgroup", "name": "regions", "of": "label", "at_least": 0.7, "failed": "hold"}
    parsed = TypeAdapter(Gate).validate_python({**settings, "required": True, **gate})
    scores = {
        name: {"label": {"texts": texts, "accuracy": accuracy, "accuracy_interval": [low, high]}, "concepts": {}}
        for name, (texts, accuracy, low, high) in regions.items()
    }
    evidence = Evidence(frame(), predictions(), None, {"evaluate": {"subgroups": {"region": scores}}}, SETTINGS, 13)
    return apply_gates((parsed,), evidence)[0]


def test_the_lowest_subgroup_is_judged():
    row = subgroup_row({"north": (100, 0.9, 0.8, 0.95), "south": (100, 0.75, 0.66, 0.85)})
    assert (row.outcome, row.value, row.figure) == ("passed", 0.75, "label.accuracy of a subgroup: region = south")


def test_a_subgroup_whose_whole_interval_is_below_the_bound_fails():
    """The west is lower, but its interval reaches the bound, so the south is the reason."""
    row = subgroup_row({"south": (100, 0.5, 0.4, 0.6), "west": (30, 0.45, 0.2, 0.72), "north": (9, 0.1, 0.0, 0.3)})
    assert (row.outcome, row.effect, row.value) == ("failed", "hold", 0.5)
    assert row.reason == "region = south: 0.500 on 100 texts, and at most 0.600, is below 0.7"


def test_a_subgroup_below_the_bound_by_chance_is_undecided():
    row = subgroup_row({"south": (100, 0.9, 0.8, 0.95), "west": (30, 0.6, 0.4, 0.75)})
    assert (row.outcome, row.effect, row.value) == ("undecided", "", 0.6)


def test_too_few_texts_or_no_scores_are_not_judged():
    small = {"north": (9, 0.1, 0.0, 0.3)}
    assert [subgroup_row(small, required=required).effect for required in (True, False)] == ["hold", ""]
    assert subgroup_row(small, of="concepts.food").outcome == NOT_JUDGED
    assert subgroup_row(small, texts=9).outcome == "failed"
    assert subgroup_row({}).reason.endswith("see evaluate.subgroups")
