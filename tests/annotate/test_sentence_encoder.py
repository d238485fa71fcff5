"""Texts as vectors of a sentence encoder."""

import numpy as np
import pytest

from sparsecbm.annotate.sentence_encoder import SentenceEncoder, remembering
from tests.support.tiny_models import write_backbone
from tests.support.word_encoder import encode_words


def test_the_encoder_gives_unit_vectors_that_do_not_depend_on_other_texts(tmp_path):
    encode = SentenceEncoder(str(write_backbone(tmp_path / "backbone")))
    alone = encode(["the food was good"])
    together = encode(["bad", "the food was good", "the service was slow but the place was quiet"])
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(3))
    assert together[1] == pytest.approx(alone[0], abs=1e-5)
    assert together[0] != pytest.approx(alone[0], abs=1e-2)


def test_equal_texts_have_equal_vectors_in_the_order_of_the_texts(tmp_path):
    encode = SentenceEncoder(str(write_backbone(tmp_path / "backbone")))
    first, second = encode(["the food was good", "bad"])
    assert np.array_equal(encode(["the food was good", "bad", "the food was good"]), np.stack([first, second, first]))


def test_a_text_is_cut_at_the_positions_of_the_backbone(tmp_path):
    encode = SentenceEncoder(str(write_backbone(tmp_path / "backbone", "roberta")))
    assert encode.max_tokens == 68  # of 70 positions, the first two are for padding
    long = "good " * 80
    assert np.array_equal(encode([long]), encode([long + "bad"]))
    assert not np.array_equal(encode(["good " * 10]), encode(["good " * 10 + "bad"]))


def test_a_text_is_encoded_once_however_often_it_is_asked():
    asked = []

    def encode(texts):
        asked.append(list(texts))
        return encode_words(texts)

    encoder = remembering(encode)
    encoder(["good food", "rude waiter"])
    again = encoder(["rude waiter", "bad service", "rude waiter"])
    assert asked == [["good food", "rude waiter"], ["bad service"]]
    assert np.array_equal(again, encode_words(["rude waiter", "bad service", "rude waiter"]))
