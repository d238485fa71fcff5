"""Comprehensiveness and sufficiency by hand, for a model whose logit is a sum over words."""

from math import exp

import numpy as np
import pytest

from sparsecbm.evaluate.faithfulness.aopc import find_items, measure_aopc, random_orders, rank_words, top_words
from sparsecbm.evaluate.faithfulness.perturbations import Perturber
from sparsecbm.explain.words import tokenize_words
from sparsecbm.model.cbm import Logits
from tests.support.linear_model import linear_model
from tests.support.tiny_models import tiny_model

# Contribution of each word to the logit of Positive, times the number of tokens. [CLS] and [SEP] cancel.
GOOD, BAD, FOOD = 5, 1, 3
TEXT = "good bad food"


def positive(total, tokens):
    return 1 / (1 + exp(-total / tokens))


def measured(model, texts, orders, operator, shares):
    worded = tokenize_words(model.tokenizer, texts, 16)
    items = find_items(model, worded, model.logits(texts))
    return measure_aopc(model, Perturber(model.tokenizer, worded, [operator], 0), items, orders, operator, shares)


def test_deletion_by_hand():
    """Half of three words rounds to two words, a fifth to one."""
    aopc = measured(linear_model(), [TEXT], [[np.array([0, 2, 1]), np.array([1, 2, 0])]], "delete", [0.2, 0.5])
    full = positive(GOOD + BAD + FOOD, 5)
    best = [positive(BAD + FOOD, 4), positive(BAD, 3)]
    worst = [positive(GOOD + FOOD, 4), positive(GOOD, 3)]
    np.testing.assert_allclose(aopc.comprehensiveness, [[full - np.mean(best), full - np.mean(worst)]], atol=1e-6)
    remaining = [positive(GOOD, 3), positive(GOOD + FOOD, 4)], [positive(BAD, 3), positive(BAD + FOOD, 4)]
    np.testing.assert_allclose(aopc.sufficiency, [[full - np.mean(k) for k in remaining]], atol=1e-6)


def test_replacement_by_the_mask_token_by_hand():
    model = linear_model()
    model.tokenizer.mask_token = "again"  # its embedding is zero
    aopc = measured(model, [TEXT], [[np.array([0, 2, 1])]], "mask", [0.2])
    full = positive(9, 5)
    assert aopc.comprehensiveness.tolist() == [[pytest.approx(full - positive(BAD + FOOD, 5), abs=1e-6)]]
    assert aopc.sufficiency.tolist() == [[pytest.approx(full - positive(GOOD, 5), abs=1e-6)]]


def test_replacement_by_hand():
    """All words of the texts but one are `again`, which has no effect."""
    model, texts = linear_model(), ["good " + "again " * 12, "again " * 13, "again " * 12]
    worded = tokenize_words(model.tokenizer, texts, 16)
    seed = next(s for s in range(9) if good_is_replaced_by_nothing(model, worded, s))
    items = find_items(model, worded[:1], Logits({"food": np.array([[0.0, 1.0]])}, np.zeros((1, 3))))
    perturber = Perturber(model.tokenizer, worded, ["replace"], seed)
    aopc = measure_aopc(model, perturber, items, [[np.arange(13)]], "replace", [1 / 13])
    assert aopc.comprehensiveness.tolist() == [[pytest.approx(positive(5, 15) - 0.5, abs=1e-6)]]


def good_is_replaced_by_nothing(model, worded, seed):
    removed = np.arange(13) == 0
    good = model.tokenizer.convert_tokens_to_ids("good")
    return good not in Perturber(model.tokenizer, worded, ["replace"], seed).without(0, removed, "replace")


def test_removing_all_words_gives_the_same_scores_for_every_order():
    model = linear_model()
    orders = [[np.array(order) for order in ([0, 1, 2], [2, 1, 0])]]
    aopc = measured(model, [TEXT], orders, "delete", [1.0])
    assert aopc.comprehensiveness.tolist() == [[pytest.approx(positive(9, 5) - 0.5, abs=1e-6)] * 2]
    np.testing.assert_allclose(aopc.sufficiency, 0, atol=1e-9)


def test_items_have_at_least_two_words_and_a_state_other_than_unknown(backbone):
    model = tiny_model(backbone)
    texts = tokenize_words(model.tokenizer, ["good food", "bad food", "good", ""], 16)
    food = np.array([[0, 1, 2], [3, 1, 2], [0, 2, 1], [2, 1, 1]], dtype=float)  # unknown, Negative, Positive, Negative
    noise = np.array([[0, 1], [1, 0], [1, 0], [1, 0]], dtype=float)
    items = find_items(model, texts, Logits({"food": food, "noise": noise}, np.zeros((4, 3))))
    assert [(i.text_index, i.concept, i.state, i.state_index) for i in items] == [
        (0, "noise", "quiet", 1), (1, "food", "Negative", 0), (1, "noise", "loud", 0),
    ]  # fmt: skip


def test_orders_by_hand():
    assert rank_words([0.1, 3.0, -1.0, 0.1]).tolist() == [1, 0, 3, 2]
    assert top_words(np.array([1, 0, 3, 2]), 0.5).tolist() == [True, True, False, False]
    assert top_words(np.arange(20), 0.05).sum() == 1 and top_words(np.arange(21), 0.05).sum() == 2
    assert top_words(np.arange(30), 0.1).sum() == 3, "no rounding error makes it four"
    (text,) = tokenize_words(linear_model().tokenizer, [TEXT], 16)
    first, second = random_orders(text, 2, 0), random_orders(text, 2, 0)
    assert [o.tolist() for o in first] == [o.tolist() for o in second]
    assert all(sorted(order.tolist()) == [0, 1, 2] for order in first)
    assert {tuple(random_orders(text, 1, seed)[0].tolist()) for seed in range(40)} == {
        (0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0),
    }  # fmt: skip


def test_no_items_give_no_scores():
    model = linear_model()
    aopc = measure_aopc(model, Perturber(model.tokenizer, [], ["delete"], 0), [], [], "delete", [0.5])
    assert aopc.comprehensiveness.shape == (0, 0) == aopc.sufficiency.shape
