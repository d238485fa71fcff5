"""Rates from probabilities: what a model's errors hide is estimated, and the test is Hotelling's, by hand."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from sparsecbm.drift.rates import compare_mean_vectors, compare_rates, estimate_rates
from sparsecbm.drift.shift import compare_counts


def readings(rates, texts, seed, right=0.7):
    """Return probabilities of a model that names the true state of `right` of the texts and says how sure it is."""
    draw = np.random.default_rng(seed)
    states = len(rates)
    gold = draw.choice(states, texts, p=rates)
    wrong = (gold + draw.integers(1, states, texts)) % states
    told = np.where(draw.random(texts) < right, gold, wrong)
    other = (1 - right) / (states - 1)
    given = other + (right - other) * np.eye(states)
    even = np.full(states, 1 / states)
    posterior = given * even[:, None] / (given * even[:, None]).sum(0)  # true state in rows, told state in columns
    return posterior.T[told]


def test_the_rates_behind_readings_that_err_are_found():
    window = readings([0.2, 0.5, 0.3], 200_000, 1)
    even = np.full(3, 1 / 3)
    assert estimate_rates(window, even) == pytest.approx([0.2, 0.5, 0.3], abs=0.01)
    # What the model says of these texts hides half of the change: .7 of it is right, .15 goes to each other state.
    assert np.bincount(window.argmax(1)) / 200_000 == pytest.approx([0.26, 0.425, 0.315], abs=0.01)


def test_equal_probabilities_give_the_known_rates():
    side = np.array([[0.9, 0.1], [0.3, 0.7]] * 30)
    rates = compare_rates(side, side)
    assert rates.window == pytest.approx([0.6, 0.4], abs=1e-6)
    assert (rates.shift.effect, rates.shift.p) == (pytest.approx(0, abs=1e-6), pytest.approx(1.0))


def test_certain_probabilities_are_shares():
    sides = [np.eye(2)[[0] * zeros + [1] * (100 - zeros)] for zeros in (30, 50)]
    rates = compare_rates(*sides)
    assert (rates.window.tolist(), rates.shift.effect) == (pytest.approx([0.5, 0.5]), pytest.approx(0.2))


def test_two_states_are_compared_by_a_t_test():
    draw = np.random.default_rng(1)
    shares = [draw.uniform(0, 1, 80), draw.uniform(0.1, 1, 60)]
    sides = [np.column_stack([share, 1 - share]) for share in shares]
    assert compare_mean_vectors(*sides) == pytest.approx(ttest_ind(*shares).pvalue)


def test_hotellings_statistic_by_hand():
    # Within both sides, the first two of three states vary by .1 up and down, independently of each other.
    steps = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) * 0.1
    old = np.array([0.3, 0.3]) + np.tile(steps, (10, 1))
    new = np.array([0.4, 0.3]) + np.tile(steps, (10, 1))
    sides = [np.column_stack([side, 1 - side.sum(1)]) for side in (old, new)]
    variance = 2 * 40 * 0.01 / 78
    statistic = 20 * 0.1**2 / variance
    f = 77 / (2 * 78) * statistic
    # The F distribution with 2 and n degrees of freedom has a closed form: (1 + 2 f / n)^(-n / 2).
    assert compare_mean_vectors(*sides) == pytest.approx((1 + 2 * f / 77) ** (-77 / 2))


def test_a_rare_state_is_added_to_another_one():
    draw = np.random.default_rng(2)
    share = draw.uniform(0, 1, 100)
    rare = 0.01 * draw.uniform(0, 1, 100)
    side = np.column_stack([rare, share * (1 - rare), (1 - share) * (1 - rare)])
    other = np.column_stack([rare[::-1], 0.9 * share * (1 - rare), 1 - rare[::-1] - 0.9 * share * (1 - rare)])
    merged = [np.column_stack([each[:, 0] + each[:, 1], each[:, 2]]) for each in (side, other)]
    assert side.mean(0).argmin() == 0 and side.mean(0)[1] < side.mean(0)[2]
    assert compare_mean_vectors(side, other) == pytest.approx(compare_mean_vectors(*merged))


def test_a_variable_with_one_state_gives_no_sign():
    certain = np.column_stack([np.ones(50), np.zeros(50)])
    assert compare_rates(certain, certain).shift.p == 1.0
    constant = np.full((50, 2), 0.5)
    assert compare_rates(constant, constant).shift.p == 1.0


def test_fair_samples_give_p_values_that_are_spread_evenly():
    p = [compare_rates(readings([0.5, 0.3, 0.2], 300, s), readings([0.5, 0.3, 0.2], 200, s + 900)).shift.p
         for s in range(400)]  # fmt: skip
    assert 0.025 <= np.mean(np.array(p) < 0.05) <= 0.08  # 20 expected; 10 and 32 are beyond 99 %


def test_more_is_seen_than_by_predicted_states():
    found = {"probabilities": 0, "states": 0}
    for seed in range(100):
        draw = np.random.default_rng(seed)
        # A text of one state gets a probability around .55, one of the other around .45: a third is misread.
        old, new = (
            np.clip(draw.normal(np.where(draw.random(400) < rate, 0.55, 0.45), 0.1), 0.01, 0.99) for rate in (0.5, 0.7)
        )
        sides = [np.column_stack([share, 1 - share]) for share in (old, new)]
        found["probabilities"] += compare_mean_vectors(*sides) < 0.05
        found["states"] += compare_counts(*(np.bincount(side.argmax(1), minlength=2) for side in sides)).p < 0.05
    assert found["probabilities"] > found["states"] + 10


def test_a_state_that_no_known_text_has_may_come_new():
    """The reference is surely of the first state, and the window of the second: all texts changed."""
    first, second = np.tile([1.0, 0.0, 0.0], (50, 1)), np.tile([0.0, 1.0, 0.0], (40, 1))
    rates = compare_rates(first, second)
    assert rates.window.tolist() == [0, 1, 0] and (rates.shift.effect, rates.shift.p) == (1, 0)
    same = compare_rates(first, first[:40])
    assert same.window.tolist() == [1, 0, 0] and (same.shift.effect, same.shift.p) == (0, 1)
