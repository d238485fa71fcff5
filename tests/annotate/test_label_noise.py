"""Labels that are probably wrong."""

import numpy as np
import pandas as pd
import pytest

from sparsecbm.annotate.label_noise import JudgedCells, estimate_noise, judge_by_words
from sparsecbm.base.concepts import Concept

FOOD = Concept("food", ("bad", "good", "unknown"))


def cells(states: list[str], probabilities: np.ndarray) -> JudgedCells:
    rows = pd.DataFrame({"id": [f"r{i}" for i in range(len(states))], "state": states})
    return JudgedCells(rows.assign(split="train", text="a text", source="human"), probabilities, "machines")


def judged(states: list[str], certain: float = 0.96) -> np.ndarray:
    """A judge that is certain of these states."""
    probabilities = np.full((len(states), len(FOOD)), (1 - certain) / 2)
    probabilities[np.arange(len(states)), [FOOD.index(state) for state in states]] = certain
    return probabilities


def test_flipped_labels_are_counted_and_listed():
    truth = ["bad", "good", "unknown"] * 30
    given = list(truth)
    for row in (4, 9, 20):  # 3 of 90
        given[row] = FOOD.states[(FOOD.index(truth[row]) + 1) % 3]
    found = estimate_noise(cells(given, judged(truth)), FOOD, listed=2)
    assert found.wrong_share == pytest.approx(3 / 90, abs=1e-6) and found.judge_accuracy == pytest.approx(
        87 / 90, abs=1e-6
    )
    assert len(found.suspects) == 2 and {each.id for each in found.suspects} <= {"r4", "r9", "r20"}
    worst = found.suspects[0]
    assert worst.judged == truth[int(worst.id[1:])] and worst.state == given[int(worst.id[1:])]
    assert worst.probability == pytest.approx(0.02)
    clean = estimate_noise(cells(truth, judged(truth)), FOOD, listed=20)
    assert clean.wrong_share == 0 and clean.suspects == []


def test_a_state_that_no_label_has_is_left_out():
    truth = ["bad", "good"] * 30
    found = estimate_noise(cells(["good", *truth[1:]], judged(truth)), FOOD, listed=5)
    assert found.wrong_share == pytest.approx(1 / 60, abs=1e-6)
    assert [(each.id, each.judged) for each in found.suspects] == [("r0", "bad")]


def test_few_labels_or_one_state_give_no_estimate():
    assert estimate_noise(cells(["bad", "good"] * 24, judged(["bad", "good"] * 24)), FOOD, 5) is None
    assert estimate_noise(cells(["bad"] * 60, judged(["bad"] * 60)), FOOD, 5) is None


def test_words_judge_each_text_by_other_groups_only():
    """A word of one group alone says nothing about that group; a word of many groups does."""
    texts = [f"{'awful' if i % 2 else 'lovely'} soup number{i}" for i in range(60)]
    states = ["bad" if i % 2 else "good" for i in range(60)]
    groups = [str(i) for i in range(60)]
    found = judge_by_words(texts, states, groups, FOOD)
    assert found.sum(1) == pytest.approx(1) and (found[:, FOOD.index("unknown")] == 0).all()
    assert [FOOD.states[i] for i in found.argmax(1)] == states
    alone = [f"only{i // 30}" for i in range(60)]  # two groups, each with words and a state of its own
    own = [f"word{i // 30}" for i in range(60)]
    apart = ["bad" if i < 30 else "good" for i in range(60)]
    np.testing.assert_allclose(judge_by_words(own, apart, alone, FOOD), 1 / 3)


def test_texts_without_words_are_not_judged():
    np.testing.assert_allclose(judge_by_words(["!!", "?"], ["bad", "good"], ["a", "b"], FOOD), 1 / 3)
