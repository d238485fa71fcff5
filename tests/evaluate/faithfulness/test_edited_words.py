"""Edited words of text pairs by hand, and their ranks compared with all orders."""

from itertools import permutations

import numpy as np
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.evaluate.faithfulness.edited_words import Edit, edited_words, rank_score, score_edited_words


def edited(base, counterfactual):
    return [base[start:end] for start, end in edited_words(base, counterfactual).spans]


def ranking(text, *scores):
    """Return the words of a text, split at white space, with scores."""
    starts = [0] + [i + 1 for i, letter in enumerate(text) if letter == " "]
    return [(start, start + len(word), s) for start, word, s in zip(starts, text.split(" "), scores, strict=True)]


@pytest.mark.parametrize(
    ("base", "counterfactual", "words", "runs", "single"),
    [
        ("The soup was cold.", "The soup was hot.", ["cold"], 1, True),
        ("The soup was not hot, but cheap", "The soup was cheap.", ["not", "hot", "but"], 1, True),
        ("The soup was cheap.", "The soup was not hot, but cheap", [], 1, False),  # an insertion
        ("Bad soup, slow waiter", "Good soup, quick waiter", ["Bad", "slow"], 2, False),
        ("Sadly, the soup was cold", "The soup was cold", ["Sadly"], 1, True),  # a capital is no edit
        ("It wasn't hot: don't go", "It was hot; don\u2019t go!", ["wasn't"], 1, True),
        ("Soup was hot. Go!", "soup WAS hot; go", [], 0, False),
        ("cold soup", "warm bread", ["cold", "soup"], 1, False),  # no word remains
        ("", "soup", [], 1, False),
        ("Die Suppe war ölig", "Die Suppe war köstlich", ["ölig"], 1, True),
    ],
)
def test_edited_words_by_hand(base, counterfactual, words, runs, single):
    edit = edited_words(base, counterfactual)
    assert edited(base, counterfactual) == words
    assert (edit.runs, edit.single_span) == (runs, single)


def test_the_edit_of_one_of_two_equal_words_is_found():
    base = "The food was good and the service was good"
    assert edited_words(base, "The food was good and the service was bad").spans == ((38, 42),)


def test_the_rank_of_an_edited_word_by_hand():
    text = "the soup was cold today"
    edit = edited_words(text, "the soup was hot today")
    assert rank_score(edit, ranking(text, 0.1, 0.2, 0.0, 0.9, -1))[0].tolist() == [1, 1, 1]
    assert rank_score(edit, ranking(text, 0.1, 0.95, 0.0, 0.9, -1))[0].tolist() == [0, 1, 1 / 2]
    assert rank_score(edit, ranking(text, 0.1, 0.2, 0.3, 0.0, -1))[0].tolist() == [0, 0, 1 / 4]


def test_ties_count_against_the_attribution_but_not_among_edited_words():
    text = "the soup was cold and watery"
    edit = edited_words(text, "the soup was hot and watery")
    assert rank_score(edit, ranking(text, 0, 0, 0, 0, 0, 0))[0].tolist() == [0, 0, 1 / 6]
    two = edited_words(text, "the soup was")
    assert rank_score(two, ranking(text, 0.1, 0.1, 0.1, 0.5, 0.5, 0.5))[0].tolist() == [1, 1, 1]


def test_a_ranked_word_counts_if_it_overlaps_the_edited_span():
    """Rankings may split words differently. Here one word includes the punctuation, and one only touches the span."""
    text = "soup,cold. today"
    edit = Edit(((5, 9),), 1, 3)
    assert rank_score(edit, [(0, 5, 9.0), (5, 10, 2.0), (11, 16, 3.0)])[0].tolist() == [0, 1, 1 / 3]
    assert text[5:9] == "cold"


def test_a_cut_word_is_a_miss_for_every_order():
    values, chances = rank_score(Edit(((90, 94),), 1, 20), [(0, 3, 0.5), (4, 8, 0.1)])
    assert not values.any() and not chances.any()


@pytest.mark.parametrize(("words", "edited"), [(1, 1), (4, 1), (5, 2), (6, 5), (6, 3)])
def test_chance_is_the_mean_over_all_orders(words, edited):
    spans = [(10 * i, 10 * i + 5) for i in range(words)]
    edit = Edit(tuple(spans[:edited]), 1, words)
    orders = [
        rank_score(edit, [(*span, float(s)) for span, s in zip(spans, scores, strict=True)])
        for scores in permutations(range(words))
    ]
    np.testing.assert_allclose(orders[0][1], np.mean([values for values, _ in orders], axis=0), atol=1e-12)


def test_scores_are_means_with_intervals_over_groups_and_with_chance():
    text = "the soup was cold"
    edit = edited_words(text, "the soup was hot")
    right, wrong = ranking(text, 0, 0, 0, 1), ranking(text, 3, 2, 1, 0)
    scores = score_edited_words([edit] * 8, [right, right, wrong, wrong] * 2, np.repeat(["a", "b"], 4), 200)
    assert scores.edits == 8
    assert (scores.hit_at_1.value, scores.hit_at_3.value, scores.reciprocal_rank.value) == (0.5, 0.5, 0.625)
    assert scores.hit_at_1.interval == [0.5, 0.5]  # both groups have the same mean
    assert (scores.hit_at_1.chance, scores.hit_at_3.chance) == (0.25, 0.75)
    assert scores.reciprocal_rank.chance == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, abs=1e-6)
    unclustered = score_edited_words([edit] * 8, [right] * 4 + [wrong] * 4, np.repeat(["a", "b"], 4), 200)
    assert unclustered.hit_at_1.interval == [0, 1]


def test_the_error_names_invalid_input():
    with pytest.raises(DataError, match="no edit"):
        score_edited_words([], [], np.array([]))
    with pytest.raises(DataError, match="word 2 is not a finite"):
        rank_score(Edit(((0, 1),), 1, 2), [(0, 1, 0.0), (2, 3, float("nan"))])
