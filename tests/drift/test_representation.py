"""Two samples of vectors: a discrepancy worked out by hand, exact permutations, and samples that do not differ."""

import math

import numpy as np
import pytest

from sparsecbm.drift.representation import compare_by_classifier, compare_by_kernel


def normal(texts: int, mean: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(texts, 8)) + mean


def test_a_discrepancy_by_hand():
    # Mean squared distance over the six pairs: 4 of them are 1 apart, so h^2 = 2 / 3 and the kernel is exp(-3 / 4).
    shift = compare_by_kernel(np.ones((2, 1)), np.zeros((2, 1)), 999, seed=1)
    assert shift.effect == pytest.approx(2 - 2 * math.exp(-0.75), rel=1e-5)
    # Of the six ways to take two texts, two separate them. Until the tenth of these comes up, it takes some 30
    # permutations; (10 - 1) / (permutations - 1) is unbiased, and p = 10 / permutations is a little above it.
    p_values = np.array([compare_by_kernel(np.ones((2, 1)), np.zeros((2, 1)), 999, seed).p for seed in range(200)])
    assert np.mean(9 / (10 / p_values - 1)) == pytest.approx(1 / 3, abs=0.02)
    assert 1 / 3 < p_values.mean() < 0.38


def test_equal_texts_have_no_discrepancy():
    shift = compare_by_kernel(np.ones((5, 3)), np.ones((4, 3)), 99, seed=1)
    assert (shift.effect, shift.p) == (pytest.approx(0.0), 1.0)


def test_few_permutations_are_farther_than_what_differs():
    far = compare_by_kernel(normal(40, 0, 1), normal(40, 3, 2), 199, seed=1)
    assert far.p == 1 / 200


@pytest.mark.parametrize("compare", ["classifier", "kernel"])
def test_a_shift_is_found_and_p_values_without_one_are_uniform(compare):
    def run(seed: int, mean: float):
        reference, window = normal(80, 0, seed), normal(60, mean, seed + 1000)
        if compare == "classifier":
            return compare_by_classifier(reference, window, seed)
        return compare_by_kernel(reference, window, 99, seed)

    fair = np.array([run(seed, 0.0).p for seed in range(80)])
    assert (fair <= 0.05).mean() <= 0.11  # more than 8 of 80 by chance: 2 %
    assert 0.40 <= np.mean(fair) <= 0.60
    assert run(1, 1.0).p <= 0.011


def test_the_classifier_separates_what_is_far_apart_and_repeats():
    far = compare_by_classifier(normal(60, 0, 1), normal(60, 9, 2), seed=3)
    assert far.effect == pytest.approx(0.5)
    assert far == compare_by_classifier(normal(60, 0, 1), normal(60, 9, 2), seed=3)
