"""Targets of labels that err: Bayes' rule by hand, flipped labels with a judge that knows, and what stays as it is."""

import json

import numpy as np
import pandas as pd
import pytest

from sparsecbm.annotate.correction import bayes, correct_targets, corrected_shares, count_doubted, unmix
from sparsecbm.annotate.labels import text_key
from sparsecbm.base.concepts import Concept, ConceptSet

# Labels of the first state are right in 8 of 10 cases, those of the second in 9 of 10; columns are true states.
LABEL_GIVEN_TRUE = np.array([[0.8, 0.1], [0.2, 0.9]])
FOOD = ConceptSet((Concept("food", ("bad", "good")),), Concept("label", ("1", "2")))


def test_probabilities_of_labels_become_those_of_true_states():
    # .8 * .3 + .1 * .7 = .31
    assert unmix(np.array([[0.31, 0.69]]), LABEL_GIVEN_TRUE) == pytest.approx(np.array([[0.3, 0.7]]))
    # The judge expects fewer first labels than errors alone would give; no state gets less than .001 before the sum.
    assert unmix(np.array([[0.05, 0.95]]), LABEL_GIVEN_TRUE)[0, 0] == pytest.approx(0.001, rel=0.1)


def test_a_label_moves_the_probabilities_by_how_often_it_errs():
    shares = bayes(np.array([0, 1, 0]), np.array([[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]]), LABEL_GIVEN_TRUE)
    assert shares[:, 0] == pytest.approx([8 / 9, 2 / 11, 8 / 17])


def flipped(share):
    """Return true states, labels of which a share is wrong, and a judge that is right with probability .95."""
    draw = np.random.default_rng(1)
    true = draw.integers(0, 2, 400)
    given = np.where(draw.random(400) < share, 1 - true, true)
    likely = 0.95 * (1 - share) + 0.05 * share
    judged = np.where(np.eye(2)[true] == 1, likely, 1 - likely)
    return true, given, judged


def test_flipped_labels_are_put_right_and_right_ones_stay():
    true, given, judged = flipped(0.2)
    assert (given != true).mean() == pytest.approx(0.2, abs=0.05)
    shares = corrected_shares(given, judged)
    assert (shares.argmax(1) == true).all()
    assert shares.sum(1) == pytest.approx(np.ones(400))
    right = given == true
    assert shares[right, given[right]].min() > shares[~right].max(1).max()  # two witnesses are surer than one
    clean = flipped(0.0)
    assert (corrected_shares(clean[1], clean[2]).argmax(1) == clean[0]).all()


def test_a_judge_that_knows_nothing_is_not_heard():
    _, given, judged = flipped(0.2)
    assert corrected_shares(given, np.tile(np.bincount(given) / len(given), (400, 1))) is None
    assert corrected_shares(given, np.random.default_rng(2).permutation(judged)) is None


@pytest.mark.parametrize(("share", "heard"), [(0.3, True), (0.55, False)])
def test_an_estimate_that_calls_most_labels_wrong_is_not_heard(share, heard):
    draw = np.random.default_rng(3)
    true = draw.integers(0, 3, 900)
    given = np.where(draw.random(900) < share, (true + draw.integers(1, 3, 900)) % 3, true)
    judged = np.where(np.eye(3)[true] == 1, 1 - share, share / 2)  # how probable each label is
    shares = corrected_shares(given, judged)
    assert (shares is not None) == heard
    if heard:
        assert (shares.argmax(1) == true).all()


def test_too_few_labels_or_states_are_left_alone():
    _, given, judged = flipped(0.2)
    assert corrected_shares(given[:49], judged[:49]) is None
    assert corrected_shares(given[:50], judged[:50]) is not None
    assert corrected_shares(np.zeros(400, dtype=int), judged) is None


def test_only_cells_with_a_label_and_a_judge_get_targets():
    true, given, judged = flipped(0.2)
    texts = [f"text {i}" for i in range(400)]
    states = pd.Series([("bad", "good")[i] for i in given], dtype="object")
    states[3] = None
    frame = pd.DataFrame({"text": texts, "concept.food": states, "share.food.bad": 0.25, "share.food.good": 0.75})
    cells = [json.dumps({"bad": a, "good": b}) for a, b in judged]
    cells[5] = None
    judge = pd.DataFrame({"key": [text_key(text) for text in texts], "concept": "food", "probabilities": cells})
    result = correct_targets(frame, {"food": judge}, FOOD)
    shares = result[["share.food.bad", "share.food.good"]].to_numpy()
    assert shares[[3, 5]].tolist() == [[0.25, 0.75]] * 2
    others = np.delete(np.arange(400), [3, 5])
    assert (shares[others].argmax(1) == true[others]).all()
    assert result["concept.food"].equals(frame["concept.food"])
    assert frame["share.food.bad"].eq(0.25).all()
    wrong = int((given != true)[others].sum()) + int(given[5] != 1)  # cell 5 keeps shares for "good"
    assert count_doubted(result, FOOD) == {"food": wrong}
