"""Scores against hand-computed values and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score

from sparsecbm.base.metrics import (
    MISSING,
    accuracy_of,
    alpha_of,
    coincidences,
    confusion,
    expected_calibration_error,
    interval,
    kappa_of,
    macro_f1_of,
    macro_f1_ovr_of,
    resample,
    resampled_means,
    resampled_sums,
)


def test_confusion_counts_gold_by_predicted_states_and_ignores_missing_ones():
    gold = np.array([0, 0, 1, MISSING, 1])
    predicted = np.array([0, 1, 1, 0, 1])
    assert confusion(gold, predicted, 2).tolist() == [[1, 1], [0, 2]]


def test_scores_by_hand():
    counts = np.array([[1, 1], [0, 2]])
    # F1 of state 0: 2*1/(2+1) = 2/3; of state 1: 2*2/(2+3) = 4/5.
    assert accuracy_of(counts) == pytest.approx(3 / 4)
    assert macro_f1_of(counts) == pytest.approx((2 / 3 + 4 / 5) / 2)
    # With two classes, "each class against the rest" is the same problem.
    assert macro_f1_ovr_of(counts) == pytest.approx((2 / 3 + 4 / 5) / 2)


@pytest.mark.parametrize("states", [2, 3, 5])
@pytest.mark.parametrize("absent", [False, True])
def test_scores_agree_with_sklearn(states, absent):
    generator = np.random.default_rng(states)
    gold, predicted = generator.integers(0, states, 200), generator.integers(0, states, 200)
    if absent:
        gold[gold == states - 1] = 0
        predicted[predicted == states - 1] = 0
    counts = confusion(gold, predicted, states)
    assert macro_f1_of(counts) == pytest.approx(f1_score(gold, predicted, average="macro"))
    by_class = [f1_score(gold == c, predicted == c, average="macro") for c in range(states)]
    assert macro_f1_ovr_of(counts) == pytest.approx(np.mean(by_class))


def test_the_macro_f1_of_the_paper_is_high_for_guesses():
    generator = np.random.default_rng(0)
    gold, predicted = generator.integers(0, 5, 50_000), generator.integers(0, 5, 50_000)
    counts = confusion(gold, predicted, 5)
    assert macro_f1_of(counts) == pytest.approx(0.2, abs=0.01)
    assert macro_f1_ovr_of(counts) == pytest.approx(0.5, abs=0.01)


def test_calibration_error_by_hand():
    # Two texts at .6, one right: gap |.5 - .6| of 2/4; two at .9, both right: gap .1 of 2/4.
    probabilities = np.array([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9], [0.1, 0.9]])
    gold = np.array([0, 1, 1, 1])
    assert expected_calibration_error(probabilities, gold, 10) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)
    assert np.isnan(expected_calibration_error(probabilities, np.full(4, MISSING), 10))


def test_an_interval_widens_when_texts_are_clustered():
    generator = np.random.default_rng(1)
    right = np.repeat(generator.random(40) < 0.7, 10).astype(int)  # clusters of ten, all correct or all wrong
    gold = np.ones(400, int)
    unclustered = resample(gold, right, 2, np.arange(400), 2000, seed=0).interval("accuracy")
    clustered = resample(gold, right, 2, np.repeat(np.arange(40), 10), 2000, seed=0).interval("accuracy")
    # A share p over n independent draws has standard error sqrt(p (1 - p) / n).
    share = right.mean()
    for (low, high), n in ((unclustered, 400), (clustered, 40)):
        assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / n), rel=0.12)


def test_equal_clusters_draw_equal_resamples():
    gold = np.array([0, 1, 0, 1, 1, 0])
    clusters = np.array(["a", "a", "b", "b", "c", "c"])
    first = resample(gold, gold[::-1].copy(), 2, clusters, 200, seed=3)
    again = resample(gold, gold[::-1].copy(), 2, clusters, 200, seed=3)
    other = resample(gold, gold[::-1].copy(), 2, clusters, 200, seed=4)
    assert np.array_equal(first.draws["accuracy"], again.draws["accuracy"])
    assert not np.array_equal(first.draws["accuracy"], other.draws["accuracy"])
    perfect = resample(gold, gold, 2, clusters, 200, seed=3)
    assert np.all(perfect.draws["accuracy"] == 1)


def test_an_interval_without_values_is_undefined():
    assert np.isnan(interval(np.array([np.nan, np.nan]))).all()


def test_means_of_correct_predictions_are_resampled_like_accuracies():
    generator = np.random.default_rng(1)
    gold, predicted = generator.integers(0, 3, (2, 60))
    gold[:7] = MISSING
    clusters = np.repeat(np.arange(15), 4)
    right = np.where(gold == MISSING, np.nan, gold == predicted)
    twice = np.stack([right, 1 - right], 1)
    drawn = resampled_means(twice, clusters, 300, seed=5)
    expected = resample(gold, predicted, 3, clusters, 300, seed=5).draws["accuracy"]
    np.testing.assert_allclose(drawn[:, 0], expected, atol=1e-12)
    np.testing.assert_allclose(drawn.sum(1), 1, atol=1e-12)  # all columns use the same resamples
    assert drawn[:, 0].std() > 0.02


def test_a_resample_without_a_value_has_no_mean():
    values = np.array([[1.0, 2.0], [np.nan, 2.0]])
    drawn = resampled_means(values, np.array(["a", "b"]), 200, seed=0)
    assert set(drawn[:, 1]) == {2.0}
    assert set(drawn[np.isfinite(drawn[:, 0]), 0]) == {1.0}
    # The first cluster is in neither of two draws a quarter of the time.
    assert np.isnan(drawn[:, 0]).mean() == pytest.approx(1 / 4, abs=0.1)


def test_kappa_by_hand():
    """Observed agreement 35 / 50; by chance (25 * 30 + 25 * 20) / 2500 = .5 (the example of Cohen's kappa)."""
    assert kappa_of(np.array([[20, 5], [10, 15]])) == pytest.approx((0.7 - 0.5) / 0.5)
    assert kappa_of(np.array([[5, 0], [0, 5]])) == 1
    assert kappa_of(np.array([[2, 2], [2, 2]])) == 0
    assert np.isnan(kappa_of(np.array([[4, 0], [0, 0]]))) and np.isnan(kappa_of(np.zeros((2, 2))))


def test_kappa_agrees_with_scikit_learn():
    generator = np.random.default_rng(5)
    gold, given = generator.integers(0, 3, (2, 200))
    given = np.where(generator.random(200) < 0.6, gold, given)
    assert kappa_of(confusion(gold, given, 3)) == pytest.approx(cohen_kappa_score(gold, given))


def votes_of(rows: list[str]) -> np.ndarray:
    """Votes from a table of sources (rows) by texts (columns); `*` is no vote."""
    states = sorted(set("".join(rows)) - {"*"})
    return np.array([[column.count(state) for state in states] for column in map("".join, zip(*rows, strict=True))])


def test_alpha_gives_the_published_value():
    """Nominal alpha of the example in Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C."""
    rows = ["123321412***", "1233224125*3", "*3332342251*", "12332441251*"]
    matrices = coincidences(votes_of(rows).astype(float))
    assert alpha_of(matrices.sum(0)) == pytest.approx(0.743, abs=5e-4)


def test_alpha_counts_only_texts_with_two_votes_and_is_0_by_chance():
    one_vote = coincidences(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert not one_vote.any()
    agreed = coincidences(np.array([[2.0, 0.0], [0.0, 2.0]])).sum(0)
    assert agreed.tolist() == [[2, 0], [0, 2]] and alpha_of(agreed) == 1
    # Texts aa, ab, ab, bb: 4 of 8 values disagree, 2 * 16 / 7 of 8 would by chance, so alpha is 1 - 4 / (32 / 7).
    mixed = coincidences(np.array([[2.0, 0.0], [1.0, 1.0], [1.0, 1.0], [0.0, 2.0]])).sum(0)
    assert alpha_of(mixed) == pytest.approx(1 - 4 / (32 / 7))


def test_resampled_sums_draw_clusters():
    matrices = np.arange(4.0)[:, None, None] * np.ones((1, 2, 2))
    sums = resampled_sums(matrices, np.array(["a", "a", "b", "b"]), 200, seed=1)
    assert sums.shape == (200, 2, 2) and set(sums[:, 0, 0]) == {2.0, 6.0, 10.0}  # a twice, both, b twice
