"""Curves of edits on texts where it is known what each edit does."""

from dataclasses import replace

import numpy as np
import pytest

from sparsecbm.base.metrics import MISSING
from sparsecbm.intervene.experiments.curves import (
    ERRORS,
    OracleCurve,
    OwnCurve,
    answers,
    gold_ceiling,
    oracle_curves,
    own_curves,
    subsets,
)
from tests.support.references import label_follows_food, misread


@pytest.fixture(scope="module")
def model(backbone):
    return label_follows_food(backbone)


@pytest.fixture(scope="module")
def reference(model):
    """40 texts, 4 of them misread in food; the label is what food says, so it is wrong for the same 4."""
    return misread(model)


@pytest.fixture(scope="module")
def curves(model, reference):
    found = oracle_curves(model, reference, seed=3)
    return {(c.policy, c.setting, c.error): c for c in found}


@pytest.mark.parametrize("setting", ["one_hot", "typical", "hard"])
def test_a_person_who_is_right_repairs_all_by_the_first_edit_of_the_worst(curves, setting):
    curve = curves["oracle_worst", setting, 0.0]
    assert curve.label == (0.9, 1.0, 1.0)
    assert curve.concepts == (0.95, 1.0, 1.0)  # 76 of 80 readings
    assert curve.harmed == (0, 0, 0)
    assert curve.fixed == (0, 0.1, 0.1)
    assert curve.area == pytest.approx(0.975)


def test_a_person_who_is_always_wrong_spoils_all(curves):
    curve = curves["random", "one_hot", 1.0]
    assert (curve.label[0], curve.label[-1]) == (0.9, 0.0)
    assert (curve.concepts[-1], curve.harmed[-1], curve.fixed[-1]) == (0.0, 0.9, 0.0)


def test_more_errors_are_worse_and_the_worst_first_is_best(curves):
    for setting in ("one_hot", "hard"):
        ends = [curves["random", setting, error].label[-1] for error in ERRORS]
        assert ends == sorted(ends, reverse=True) and len(set(ends)) == len(ERRORS)
    areas = {policy: curves[policy, "one_hot", 0.0].area for policy in ("random", "oracle_worst")}
    assert areas["oracle_worst"] > areas["random"]


def test_edits_without_annotation_bring_nothing(model, reference):
    found = own_curves(model, reference, seed=3)
    assert {type(curve) for curve in found} == {OwnCurve}
    assert "oracle_worst" not in {curve.policy for curve in found}
    for curve in found:
        assert curve.label == (0.9,) * 3
        assert curve.concepts == (0.95,) * 3


def test_kinds_are_told_apart_in_their_rows(curves, model, reference):
    curve = curves["random", "hard", 0.1]
    assert isinstance(curve, OracleCurve) and not isinstance(curve, OwnCurve)
    rows = list(curve.rows())
    assert [row["edits"] for row in rows] == [0, 1, 2]
    assert rows[0]["person_error"] == 0.1 and rows[0]["label_accuracy"] == 0.9
    assert "person_error" not in next(own_curves(model, reference, seed=3)[0].rows())


def test_all_subsets(model, reference):
    rows = {(row["setting"], row["concepts"]): row["label_accuracy"] for row in subsets(model, reference, seed=0)}
    for setting in ("one_hot", "typical", "hard"):
        found = {name: rows[setting, name] for name in ("none", "food", "noise", "food noise")}
        assert found == {"none": 0.9, "food": 1.0, "noise": 0.9, "food noise": 1.0}
    assert len(rows) == 12


def test_a_typical_reading_comes_from_other_groups(model, reference):
    """Where nobody else has a state, it is set as plainly as can be; where others are misread, so is the edit."""
    always = reference.logits["food"].copy()
    always[:] = [5.0, 0.0, 0.0]  # all read as Negative
    other = replace(reference, logits={**reference.logits, "food": always})
    rows = {(row["setting"], row["concepts"]): row["label_accuracy"] for row in subsets(model, other, seed=0)}
    assert rows["one_hot", "food"] == 1.0
    assert rows["typical", "food"] == (reference.label_gold == 0).mean()


def test_a_model_without_the_hard_head_has_no_such_curve(backbone, reference):
    model = label_follows_food(backbone)
    model.hard_head = None
    assert {curve.setting for curve in own_curves(model, reference, seed=0)} == {"one_hot", "typical"}


def test_the_ceiling_is_a_look_up(reference):
    assert gold_ceiling(reference) == 1.0
    labels = np.array([0, 0, 1, 2, MISSING])
    gold = {"food": np.array([0, 0, 0, 1, 1]), "noise": np.array([0, 0, 0, 0, 0])}
    few = replace(reference.take(np.arange(5)), label_gold=labels, gold=gold)
    assert gold_ceiling(few) == 0.75  # of labels 0, 0, 1 for one combination, two are right


def test_answers_err_as_often_as_is_said(reference):
    gold = {"food": np.tile([0, 1, 2, MISSING], 500), "noise": np.tile([0, 1], 1000)}
    many, draw = replace(reference, gold=gold), np.random.default_rng(0)
    states = {"food": 3, "noise": 2}
    for error in ERRORS:
        said = answers(many, states, error, draw)
        known = gold["food"] != MISSING
        assert (said["food"][known] != gold["food"][known]).mean() == pytest.approx(error, abs=0.03)
        assert (said["food"][~known] == MISSING).all()
        assert (said["noise"] != gold["noise"]).mean() == pytest.approx(error, abs=0.03)
        assert set(said["food"][known]) == {0, 1, 2}
