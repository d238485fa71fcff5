"""Vectors of texts and clauses, and what is taken over the clauses of a text."""

import numpy as np
import pytest

from sparsecbm.annotate.learning.embedded_texts import EmbeddedTexts, embed_texts
from tests.support.word_encoder import WORDS, encode_words


@pytest.fixture
def two_texts() -> EmbeddedTexts:
    """The first text has two clauses, the second has one."""
    return EmbeddedTexts(np.eye(2), np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), np.array([0, 0, 1]))


def test_the_best_clause_of_a_text_counts_for_each_column(two_texts):
    values = np.array([[0.1, 0.9], [0.5, 0.2], [0.3, 0.4]])
    assert two_texts.best_clause(values).tolist() == [[0.5, 0.9], [0.3, 0.4]]


def test_clauses_are_added_with_their_weights(two_texts):
    assert two_texts.weighted_sum(two_texts.clauses, np.array([0.5, 0.5, 1.0])) == pytest.approx(
        np.array([[0.8, 0.4], [0.0, 1.0]])
    )


def test_each_clause_belongs_to_its_text():
    embedded = embed_texts(encode_words, ["Good food. Rude waiter.", "bad service"])
    assert embedded.owners.tolist() == [0, 0, 1]
    assert [{WORDS[i] for i in np.flatnonzero(row)} for row in embedded.clauses] == [
        {"good", "food"},
        {"rude", "waiter"},
        {"bad", "service"},
    ]
    assert embedded.texts[0] == pytest.approx((embedded.clauses[0] + embedded.clauses[1]) / np.sqrt(2))
