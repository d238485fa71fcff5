"""ICaCE errors by hand, their intervals by an exact oracle, and measurements on known models."""

import numpy as np
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.evaluate.causal.counterfactuals import Pairs, counterfactual_pairs
from sparsecbm.evaluate.causal.effects import TextPredictions, label_probabilities, predict_texts
from sparsecbm.evaluate.causal.icace import (
    DISTANCES,
    distances,
    make_explainers,
    measure_icace,
    score_icace,
    true_effects,
)
from sparsecbm.train.examples import build_examples
from sparsecbm.train.modes import fit_hard_head
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import NOISE, with_food_edits


def pairs_of(groups, concepts=None):
    count = len(groups)
    names = np.array(["food"] * count if concepts is None else concepts)
    return Pairs(np.arange(count), np.arange(count), names, names, names, np.array(list(groups)))


def test_the_effect_of_a_pair_is_the_change_of_the_probabilities():
    texts = TextPredictions(np.array([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]]), {}, {})
    pairs = Pairs(np.array([0, 1]), np.array([1, 2]), *[np.array(["", ""])] * 4)
    np.testing.assert_allclose(true_effects(texts, pairs), [[-0.6, 0.6], [0.2, -0.2]])


@pytest.mark.parametrize(
    ("true", "estimated", "expected"),
    [
        ([0.3, -0.3, 0], [0.3, -0.3, 0], [0, 0, 0]),
        ([0.3, 0, -0.3], [-0.3, 0, 0.3], [0.6 * 2**0.5, 2, 0]),  # the opposite
        ([0.4, 0, 0], [0, 0.3, 0], [0.5, 1, 0.1]),  # at right angles
        ([0.4, 0, 0], [0.1, 0, 0], [0.3, 0, 0.3]),  # too small
        ([0.3, -0.4, 0], [0, 0, 0], [0.5, 1, 0.5]),  # a zero vector has no direction
        ([0, 0, 0], [0.3, -0.4, 0], [0.5, 1, 0.5]),
        ([0, 0, 0], [0, 0, 0], [0, 1, 0]),
    ],
)
def test_distances_by_hand(true, estimated, expected):
    np.testing.assert_allclose(distances(np.array([true], float), np.array([estimated], float)), [expected], atol=1e-12)


def test_errors_are_means_over_pairs_and_over_the_pairs_of_each_concept():
    true = np.array([[0.4, 0], [0.4, 0], [0, 0.2]])
    close, none = np.array([[0.4, 0], [0.1, 0], [0, 0.4]]), np.zeros((3, 2))
    scores = score_icace(true, {"close": close, "none": none}, pairs_of("abb", ["food", "food", "noise"]), "close", 50)
    assert (scores.pairs, scores.groups, scores.pairs_by_concept) == (3, 2, {"food": 2, "noise": 1})
    assert scores.errors["close"]["l2"].value == pytest.approx(0.5 / 3, abs=1e-6)
    assert scores.errors["none"]["cosine"].value == 1 and scores.errors["close"]["cosine"].value == 0
    assert scores.by_concept["close"]["food"] == {"l2": 0.15, "cosine": 0, "norm": 0.15}
    assert scores.by_concept["none"]["noise"]["l2"] == 0.2
    assert set(scores.lead) == {"none"}
    assert scores.lead["none"]["l2"].value == pytest.approx((1.0 - 0.5) / 3, abs=1e-6)


def test_intervals_are_clustered_by_group_and_leads_are_paired():
    """The error is 0 or 1 for all pairs of a group of four. The other explainer's error is .5 higher on every pair."""
    wrong = (np.random.default_rng(0).random(50) < 0.4).astype(float)
    of_pair = np.repeat(wrong, 4)
    true = np.tile([2.0, 0], (200, 1))
    estimates = {"first": true - of_pair[:, None] * [1, 0], "second": true - (of_pair[:, None] + 0.5) * [1, 0]}
    scores = score_icace(true, estimates, pairs_of(np.repeat(np.arange(50), 4)), "first", 3000)
    share = wrong.mean()
    low, high = scores.errors["first"]["l2"].interval
    assert scores.errors["first"]["l2"].value == pytest.approx(share)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 50), rel=0.1)
    assert scores.lead["second"]["l2"].interval == [0.5, 0.5]


def test_the_error_names_invalid_estimates():
    true, pairs = np.zeros((2, 3)), pairs_of("ab")
    with pytest.raises(DataError, match="no counterfactual pair"):
        score_icace(true[:0], {"a": true[:0]}, pairs.where(np.array([], int)), "a")
    with pytest.raises(DataError, match=r"unknown explainer 'concept_edit'.*Choices: edit"):
        score_icace(true, {"edit": true}, pairs)
    with pytest.raises(DataError, match=r"'b' gave effects of shape \[2, 3\], and 1 of them are not finite"):
        score_icace(true, {"a": true, "b": np.array([[0, np.nan, 0], [0, 0, 0]])}, pairs, "a")
    with pytest.raises(DataError, match=r"'b' gave effects of shape \[2, 2\]"):
        score_icace(true, {"a": true, "b": true[:, :2]}, pairs, "a")


@pytest.fixture
def families():
    """Return originals, each with an edit that replaces the clause on food only."""
    frame = with_food_edits(24, seed=5)
    assert set(frame["concept.noise"]) == set(NOISE)
    return frame


def as_annotated(model, frame):
    """Return the predictions of a backbone that is certain of every gold state."""
    texts = predict_texts(model, frame)
    activations = {name: np.eye(values.shape[1])[texts.gold[name]] for name, values in texts.activations.items()}
    return TextPredictions(label_probabilities(model.label_head, activations), activations, texts.gold)


def test_the_concept_edit_is_exact_for_a_bottleneck_that_predicts_every_state(model, families):
    data = build_examples(families, model), model.logits(families["text"].tolist())
    fit_hard_head(model, *data, *data)
    texts = as_annotated(model, families)
    pairs = counterfactual_pairs(families, model.concept_set)
    scores = measure_icace(model, texts, pairs, make_explainers(model, texts), resamples=100)
    assert scores.pairs == 24 and scores.groups == 12 and scores.pairs_by_concept == {"food": 24}
    for name in ("concept_edit", "concept_edit_typical", "concept_edit_gold"):
        assert [scores.errors[name][distance].value for distance in DISTANCES] == pytest.approx([0, 0, 0], abs=1e-6)
    for name in ("zero", "conexp", "random", "s_learner", "s_learner_gold", "concept_edit_hard"):
        low, _ = scores.lead[name]["l2"].interval
        assert low > 0 and scores.errors[name]["l2"].value > 0.01
    assert scores.errors["zero"]["cosine"].value == 1
    assert scores.errors["zero"]["l2"] == scores.errors["zero"]["norm"]


def test_models_without_a_hard_head_or_with_logits_have_fewer_explainers(backbone, families):
    soft = tiny_model(backbone)
    names = set(make_explainers(soft, as_annotated(soft, families)))
    assert "concept_edit_hard" not in names and {"concept_edit", "concept_edit_typical", "zero"} < names
    logits = tiny_model(backbone, activation="logits")
    texts = predict_texts(logits, families)
    assert (texts.activations["food"] < 0).any()
    explainers = make_explainers(logits, texts)
    assert "concept_edit_typical" not in explainers and "concept_edit_gold" not in explainers
    pairs = counterfactual_pairs(families, logits.concept_set)
    assert measure_icace(logits, texts, pairs, explainers, resamples=10).errors["concept_edit"]["l2"].value >= 0
