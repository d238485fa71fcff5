"""Win rates, excess, the randomisation test and rank correlations, by hand."""

import numpy as np
import pytest

from sparsecbm.evaluate.faithfulness.item_groups import ItemGroups, mean_by_concept
from sparsecbm.evaluate.faithfulness.randomisation import compare_with_random, randomisation_p, win_rates
from sparsecbm.evaluate.faithfulness.rank_agreement import kendall_tau, rank_correlation


def test_win_rates_by_hand():
    values, random = np.array([1.0, 2.0, 5.0]), np.array([[0.0, 1.0], [3.0, 2.0], [1.0, 2.0]])
    assert win_rates(values, random, True).tolist() == [0.75, 0.25, 1.0]
    assert win_rates(values, random, False).tolist() == [0.25, 0.75, 0.0]


def test_p_is_the_share_of_random_draws_that_are_as_good():
    """Each item has the best of four scores, so one random draw in 4 ** items is as good."""
    for items in (1, 2):
        p = randomisation_p(np.ones(items), np.zeros((items, 3)), True, 40_000, 0)
        assert p == pytest.approx(0.25**items, abs=0.006)
    assert randomisation_p(-np.ones(2), np.zeros((2, 3)), False, 40_000, 0) == pytest.approx(1 / 16, abs=0.006)
    assert randomisation_p(-np.ones(2), np.zeros((2, 3)), True, 100, 0) == 1.0
    assert randomisation_p(np.full(2, 0.1), np.full((2, 3), 0.1), True, 100, 0) == 1.0, "a tie is as good"
    assert randomisation_p(np.ones(20), np.zeros((20, 3)), True, 99, 0) == 0.01, "never 0"


def test_p_is_uniform_for_a_random_method():
    generator = np.random.default_rng(0)
    ps = [randomisation_p(scores[:, 0], scores[:, 1:], True, 199, 1) for scores in generator.random((300, 15, 5))]
    assert np.mean(np.array(ps) <= 0.1) == pytest.approx(0.1, abs=0.05)
    assert np.mean(ps) == pytest.approx(0.5, abs=0.05)


def test_comparisons_by_hand_and_their_mean_over_concepts():
    values = np.array([0.5, 0.7, 0.2])
    random = np.array([[0.1, 0.3], [0.7, 0.5], [0.4, 0.4]])
    comparisons = compare_with_random(
        values, random, True, ItemGroups(["food", "food", "noise"], ["a", "b", "a"], 500, 0)
    )
    assert list(comparisons) == ["food", "noise", "mean"]
    food, noise, mean = comparisons.values()
    assert (food.items, noise.items, mean.items) == (2, 1, 3)
    assert (food.value, food.random, food.excess, food.win_rate) == (0.6, 0.4, 0.2, 0.875)
    assert (noise.value, noise.random, noise.excess, noise.win_rate) == (0.2, 0.4, -0.2, 0.0)
    assert (mean.value, mean.random, mean.excess, mean.win_rate) == (0.4, 0.4, 0.0, 0.4375)
    assert food.interval == [0.5, 0.7] and food.excess_interval == [0.1, 0.3] and food.win_rate_interval == [0.75, 1]
    assert noise.excess_interval == [-0.2, -0.2]
    less = compare_with_random(values, random, False, ItemGroups(["food", "food", "noise"], ["a", "b", "a"], 500, 0))
    assert (less["food"].excess, less["food"].win_rate, less["food"].value) == (-0.2, 0.125, 0.6)


def test_intervals_are_clustered_by_group():
    values, clusters = np.repeat([0.0, 1.0], 50), np.repeat(["a", "b"], 50)
    comparisons = compare_with_random(values, np.zeros((100, 2)), True, ItemGroups(["food"] * 100, clusters, 500, 0))
    assert comparisons["food"].excess_interval == [0, 1]
    alone = compare_with_random(
        values, np.zeros((100, 2)), True, ItemGroups(["food"] * 100, np.arange(100).astype(str), 500, 0)
    )
    low, high = alone["food"].excess_interval
    assert 0.35 < low < high < 0.65


def test_kendall_tau_by_hand():
    assert kendall_tau([1, 2, 3, 4], [10, 20, 30, 40]) == 1
    assert kendall_tau([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert kendall_tau([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx((5 - 1) / 6)
    # The first has one tie, the second none: 4 pairs agree, 1 does not, and 5 and 6 pairs are not tied.
    assert kendall_tau([1, 1, 2, 3], [1, 2, 4, 3]) == pytest.approx((4 - 1) / np.sqrt(5 * 6))
    assert np.isnan(kendall_tau([1, 1], [1, 2])) and np.isnan(kendall_tau([1], [2]))


def test_rank_correlation_by_hand():
    assert rank_correlation([1, 2, 3], [1, 10, 100]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [2, 1, 4, 3]) == pytest.approx(1 - 6 * 4 / (4 * 15))
    assert np.isnan(rank_correlation([1, 2], [0, 0]))


def test_means_ignore_items_without_a_value():
    values = np.array([0.5, np.nan, 0.1, np.nan])
    means = mean_by_concept(values, ItemGroups(["food", "food", "noise", "price"], list("abcd"), 50, 0))
    assert {name: estimate.value for name, estimate in means.items()} == {"food": 0.5, "noise": 0.1, "mean": 0.3}
    assert mean_by_concept(np.array([]), ItemGroups([], [], 50, 0)) == {}
