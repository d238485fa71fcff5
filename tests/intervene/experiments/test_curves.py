"""Curves of edits on texts with known effects of each edit."""

from dataclasses import replace

import numpy as np
import pytest

from sparsecbm.base.metrics import MISSING
from sparsecbm.intervene.experiments.curves import (
    ERRORS,
    OracleCurve,
    OwnCurve,
    gold_ceiling,
    oracle_curves,
    own_curves,
    simulate_answers,
    subsets,
)
from tests.support.references import label_follows_food, reference_with_mistakes


@pytest.fixture(scope="module")
def model(backbone):
    return label_follows_food(backbone)


@pytest.fixture(scope="module")
def reference(model):
    """Return 40 texts, 4 with a wrong food. The label depends on food, so it is wrong for the same 4."""
    return reference_with_mistakes(model)


@pytest.fixture(scope="module")
def curves(model, reference):
    return {(c.policy, c.setting, c.error): c for c in oracle_curves(model, reference, seed=3)}


@pytest.mark.parametrize("setting", ["one_hot", "typical", "hard"])
def test_the_first_edit_of_the_worst_concept_repairs_all(curves, setting):
    curve = curves["oracle_worst", setting, 0.0]
    assert curve.label == (0.9, 1.0, 1.0)
    assert curve.concepts == (0.95, 1.0, 1.0)  # 76 of 80 predictions
    assert curve.harmed == (0, 0, 0)
    assert curve.fixed == (0, 0.1, 0.1)
    assert curve.area == pytest.approx(0.975)


def test_a_person_who_is_always_wrong_harms_all(curves):
    curve = curves["random", "one_hot", 1.0]
    assert (curve.label[0], curve.label[-1]) == (0.9, 0.0)
    assert (curve.concepts[-1], curve.harmed[-1], curve.fixed[-1]) == (0.0, 0.9, 0.0)


def test_more_errors_are_worse_and_the_order_worst_first_is_best(curves):
    for setting in ("one_hot", "hard"):
        ends = [curves["random", setting, error].label[-1] for error in ERRORS]
        assert ends == sorted(ends, reverse=True) and len(set(ends)) == len(ERRORS)
    areas = {policy: curves[policy, "one_hot", 0.0].area for policy in ("random", "oracle_worst")}
    assert areas["oracle_worst"] > areas["random"]


def test_edits_without_annotation_change_no_score(model, reference):
    curves = own_curves(model, reference, seed=3)
    assert {type(curve) for curve in curves} == {OwnCurve}
    assert "oracle_worst" not in {curve.policy for curve in curves}
    for curve in curves:
        assert curve.label == (0.9,) * 3
        assert curve.concepts == (0.95,) * 3


def test_rows_name_the_kind_of_edit(curves, model, reference):
    curve = curves["random", "hard", 0.1]
    assert isinstance(curve, OracleCurve) and not isinstance(curve, OwnCurve)
    rows = list(curve.rows())
    assert [row["edits"] for row in rows] == [0, 1, 2]
    assert rows[0]["person_error"] == 0.1 and rows[0]["label_accuracy"] == 0.9
    assert "person_error" not in next(own_curves(model, reference, seed=3)[0].rows())


def test_all_subsets_of_concepts_are_measured(model, reference):
    rows = {(row["setting"], row["concepts"]): row["label_accuracy"] for row in subsets(model, reference, seed=0)}
    for setting in ("one_hot", "typical", "hard"):
        accuracies = {name: rows[setting, name] for name in ("none", "food", "noise", "food noise")}
        assert accuracies == {"none": 0.9, "food": 1.0, "noise": 0.9, "food noise": 1.0}
    assert len(rows) == 12


def test_a_typical_prediction_comes_from_other_groups(model, reference):
    """A state that no other text has becomes one-hot. If the other texts are wrong, so is the edit."""
    always = reference.logits["food"].copy()
    always[:] = [5.0, 0.0, 0.0]  # all predicted as Negative
    other = replace(reference, logits={**reference.logits, "food": always})
    rows = {(row["setting"], row["concepts"]): row["label_accuracy"] for row in subsets(model, other, seed=0)}
    assert rows["one_hot", "food"] == 1.0
    assert rows["typical", "food"] == (reference.label_gold == 0).mean()


def test_a_model_without_the_hard_head_has_no_curve_of_hard_edits(backbone, reference):
    model = label_follows_food(backbone)
    model.hard_head = None
    assert {curve.setting for curve in own_curves(model, reference, seed=0)} == {"one_hot", "typical"}


def test_the_ceiling_is_a_lookup_table(reference):
    assert gold_ceiling(reference) == 1.0
    labels = np.array([0, 0, 1, 2, MISSING])
    gold = {"food": np.array([0, 0, 0, 1, 1]), "noise": np.array([0, 0, 0, 0, 0])}
    few = replace(reference.take(np.arange(5)), label_gold=labels, gold=gold)
    assert gold_ceiling(few) == 0.75  # of labels 0, 0, 1 for one combination, two are correct


def test_answers_are_wrong_at_the_given_rate(reference):
    gold = {"food": np.tile([0, 1, 2, MISSING], 500), "noise": np.tile([0, 1], 1000)}
    many, rng = replace(reference, gold=gold), np.random.default_rng(0)
    states = {"food": 3, "noise": 2}
    for error in ERRORS:
        answers = simulate_answers(many, states, error, rng)
        known = gold["food"] != MISSING
        assert (answers["food"][known] != gold["food"][known]).mean() == pytest.approx(error, abs=0.03)
        assert (answers["food"][~known] == MISSING).all()
        assert (answers["noise"] != gold["noise"]).mean() == pytest.approx(error, abs=0.03)
        assert set(answers["food"][known]) == {0, 1, 2}
