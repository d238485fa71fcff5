"""Scores of each policy by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import InterventionError
from sparsecbm.base.metrics import MISSING
from sparsecbm.intervene.experiments.policies import (
    ORACLE_POLICIES,
    POLICIES,
    contribution,
    cooperative,
    edit_order,
    expected_change,
    oracle_worst,
    uncertainty,
)
from tests.support.references import label_follows_food, reference_with_mistakes

CERTAIN = [0.0, -80.0, -80.0]


@pytest.fixture
def model(backbone):
    return label_follows_food(backbone)


@pytest.fixture
def reference(model):
    """Return two texts: certain food and uncertain noise; uncertain food (1/2, 1/4, 1/4) and certain noise."""
    base = reference_with_mistakes(model, rows=2, wrong=0)
    food = np.array([CERTAIN, np.log([0.5, 0.25, 0.25])], np.float32)
    noise = np.array([[0.0, 0.0], [80.0, 0.0]], np.float32)
    gold = {"food": np.array([1, 0]), "noise": np.array([MISSING, 0])}
    return replace(base, logits={"food": food, "noise": noise}, gold=gold)


def test_uncertainty_is_entropy_divided_by_its_maximum(model, reference):
    half = 1.5 * np.log(2) / np.log(3)  # 1/2 log 2 + 2 * 1/4 log 4
    assert uncertainty(model, reference) == pytest.approx(np.array([[0, 1], [half, 0]]), abs=1e-9)


def test_a_certain_concept_is_expected_to_change_nothing(model, reference):
    scores = expected_change(model, reference)
    assert scores[0, 0] == pytest.approx(0, abs=1e-9)
    assert scores[:, 1] == pytest.approx([0, 0], abs=1e-9)  # noise has weight 0 in the label
    logits = 20 * np.array([0.5, 0.25, 0.25])  # for the labels 1, 3, 2
    before = np.exp(logits) / np.exp(logits).sum()
    after = np.exp(20 * np.eye(3)) / np.exp(20 * np.eye(3)).sum(1, keepdims=True)
    expected = sum(p * (q * np.log(q / before)).sum() for p, q in zip([0.5, 0.25, 0.25], after, strict=True))
    assert scores[1, 0] == pytest.approx(expected, rel=1e-5)


def test_contribution_is_the_effect_on_the_label(model, reference):
    with torch.no_grad():
        model.label_head.V("noise")[:] = torch.tensor([[2.0, -2.0], [0.0, 1.0], [0.0, 0.0]])
    # Food: 20 times each probability, which add up to 1. Noise: |2 p - 2 q| + |q|.
    assert contribution(model, reference) == pytest.approx(np.array([[20, 0.5], [20, 2]]), rel=1e-5)


def test_the_oracle_scores_the_missing_probability_of_the_annotated_state(model, reference):
    assert oracle_worst(model, reference) == pytest.approx(np.array([[1, 0], [0.5, 0]]), abs=1e-6)


def test_the_cooperative_policy_weights_both_scores_equally(model, reference):
    parts = [scores / scores.mean() for scores in (uncertainty(model, reference), expected_change(model, reference))]
    assert cooperative(model, reference) == pytest.approx(sum(parts))


def test_the_concept_with_the_highest_score_comes_first(model, reference):
    draw = np.random.default_rng(0)
    assert edit_order("uncertainty", model, reference, draw).tolist() == [[1, 0], [0, 1]]
    assert edit_order("oracle_worst", model, reference, draw).tolist() == [[0, 1], [0, 1]]
    drawn = [edit_order("random", model, reference, np.random.default_rng(seed)).tolist() for seed in range(20)]
    assert drawn[0] == edit_order("random", model, reference, np.random.default_rng(0)).tolist()
    assert {tuple(row) for rows in drawn for row in rows} == {(0, 1), (1, 0)}


def test_the_error_for_an_unknown_policy_names_the_choices(model, reference):
    with pytest.raises(InterventionError, match=r"unknown policy 'worst'.*random, uncertainty, .*oracle_worst"):
        edit_order("worst", model, reference, np.random.default_rng(0))


def test_only_oracle_policies_depend_on_annotations(model, reference):
    """Other annotations change the scores of the oracle only."""
    other = replace(reference, gold={"food": np.array([0, 1]), "noise": np.array([0, 1])})
    for policy, score in POLICIES.items():
        assert score(model, reference) == pytest.approx(score(model, other)), policy
    for policy, score in ORACLE_POLICIES.items():
        assert score(model, reference) != pytest.approx(score(model, other)), policy
