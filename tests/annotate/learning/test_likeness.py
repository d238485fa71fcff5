"""Features of texts by their likeness with definitions."""

import numpy as np
import pandas as pd
import pytest

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.learning.embedded_texts import embed_texts
from sparsecbm.annotate.learning.likeness import Tone, embed_definitions, make_views
from tests.support.word_encoder import WORDS, encode_words

FOOD = ConceptDefinition(
    "food",
    "",
    {"Negative": "bad food. bland meal.", "Positive": "good food", "unknown": "nothing about food"},
    (("tasty meal", "Positive"),),
)
SERVICE = ConceptDefinition("service", "", {"Negative": "rude waiter", "Positive": "friendly waiter"})


def test_a_definition_gives_its_sentences_and_its_examples():
    food = embed_definitions(encode_words, [FOOD])["food"]
    assert {state: len(vectors) for state, vectors in food.vectors.items()} == {
        "Negative": 2,
        "Positive": 2,
        "unknown": 1,
    }
    assert len(food.every) == 5
    assert len(food.mentions) == 2  # a text that is like the definition of unknown does not speak of food


def test_the_content_of_a_text_is_that_of_the_clause_that_speaks_of_the_concept():
    texts = embed_texts(encode_words, ["bad food. friendly waiter.", "friendly waiter. bad food."])
    prototypes = embed_definitions(encode_words, [FOOD, SERVICE])
    views = make_views(texts, Tone(texts.texts, pd.Series([None, None])), prototypes)
    food, service = (views[name].content[:, -len(WORDS) :] for name in ("food", "service"))
    assert food[0] == pytest.approx(encode_words(["bad food"])[0], abs=1e-6)
    assert service[0] == pytest.approx(encode_words(["friendly waiter"])[0], abs=1e-6)
    assert food[0] == pytest.approx(food[1], abs=1e-12)  # the order of clauses does not matter


def test_the_best_clause_is_compared_with_every_prototype_of_every_concept():
    texts = embed_texts(encode_words, ["bad food. we came by bus.", "we came by bus."])
    prototypes = embed_definitions(encode_words, [FOOD, SERVICE])
    comparisons = make_views(texts, Tone(texts.texts, pd.Series([None, None])), prototypes)["service"].comparisons
    best = comparisons[:, -7:]  # 5 prototypes of food, 2 of service
    # "bad food" with "bad food", "bland meal", "good food", "tasty meal", "nothing about food", and with the waiters
    assert best[0] == pytest.approx([1, 0, 0.5, 0, 1 / np.sqrt(6), 0, 0])
    assert best[1] == pytest.approx(np.zeros(7))


def test_the_tone_is_the_label_that_clauses_hint_at():
    words = ["good food", "tasty meal", "friendly waiter", "bad food", "bland meal", "rude waiter"] * 5
    labels = pd.Series(["5", "5", "5", "1", "1", "1"] * 5)
    tone = Tone(encode_words(words), labels).of(encode_words(["good service", "rude service"]))
    assert tone.shape == (2, 2)  # columns: label 1, label 5
    assert tone[0, 1] > tone[0, 0]
    assert tone[1, 0] > tone[1, 1]


@pytest.mark.parametrize("labels", [[None, None], ["1", "1"], ["1", None]])
def test_without_two_labels_there_is_no_tone(labels):
    vectors = encode_words(["good food", "bad food"])
    assert Tone(vectors, pd.Series(labels)).of(vectors).shape == (2, 0)
