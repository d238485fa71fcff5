"""Removal of words from texts, token by token, and predictions for these texts."""

import numpy as np
import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.evaluate.faithfulness.batched_inference import concept_logits_for
from sparsecbm.evaluate.faithfulness.perturbations import OPERATORS, Perturber
from sparsecbm.explain.subject import prepared
from sparsecbm.explain.words import TokenizedText, tokenize_words
from sparsecbm.model.batches import encode
from tests.support.tiny_models import random_masks, tiny_tokenizer

MASK = 4


def worded(pieces, special=(90, 91)):
    """Return a text whose words have the given token ids, between two special tokens."""
    ids = (special[0], *(token for word in pieces for token in word), special[1])
    places = np.array([-1, *(number for number, word in enumerate(pieces) for _ in word), -1])
    names = tuple(f"word{number}" for number in range(len(pieces)))
    return TokenizedText(" ".join(map(str, pieces)), ids, names, ((0, 1),) * len(pieces), places, ("a", "b"), False)


def tokenizer_with_mask():
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = "the"
    return tokenizer


def test_operators_by_hand():
    text = worded([(10, 11), (12,), (13, 14, 15)])
    only = worded([(50,)])
    tokenizer = tokenizer_with_mask()
    assert tokenizer.mask_token_id == MASK
    perturber = Perturber(tokenizer, [text, only], OPERATORS, seed=0)
    removed = np.array([True, False, True])
    assert perturber.without(0, removed, "delete") == (90, 12, 91)
    assert perturber.without(0, removed, "mask") == (90, MASK, MASK, 12, MASK, MASK, MASK, 91)
    assert perturber.without(0, ~removed, "delete") == (90, 10, 11, 13, 14, 15, 91)
    for operator in OPERATORS:
        assert perturber.without(0, np.zeros(3, bool), operator) == text.ids
    assert perturber.without(1, np.array([True]), "delete") == (90, 91)


def test_a_replacement_is_a_fixed_word_of_the_texts_that_fits():
    text, others = worded([(10, 11), (12,)]), [worded([(20 + i,), (60, 61 + i, 62)]) for i in range(30)]
    perturber = Perturber(tokenizer_with_mask(), [text, *others], ["replace"], seed=1)
    pool = {(10, 11), (12,), *((20 + i,) for i in range(30))}  # no word of three tokens fits
    first = perturber.without(0, np.array([True, False]), "replace")
    second = perturber.without(0, np.array([False, True]), "replace")
    assert first[0] == 90 and first[-2:] == (12, 91) and first[1:-2] in pool
    assert second[:3] == (90, 10, 11) and second[3:-1] in pool and len(second) == 5
    assert perturber.without(0, np.array([True, True]), "replace") == (*first[:-2], *second[3:])
    again = Perturber(tokenizer_with_mask(), [text, *others], ["replace"], seed=1)
    assert again.without(0, np.array([True, False]), "replace") == first
    each = [Perturber(tokenizer_with_mask(), [text, *others], ["replace"], seed) for seed in range(20)]
    drawn = {other.without(0, np.array([False, True]), "replace") for other in each}
    assert len(drawn) > 5, "replacements do not depend on the seed"


def test_a_word_with_separate_tokens_is_replaced_once():
    text = worded([(10, 11)])
    parted = TokenizedText(
        "x", (90, 10, 7, 11, 91), ("w",), ((0, 1),), np.array([-1, 0, -1, 0, -1]), ("", "", ""), False
    )
    perturber = Perturber(tokenizer_with_mask(), [parted, text], ["replace"], seed=0)
    assert perturber.without(0, np.array([True]), "replace") == (90, 10, 11, 7, 91)


def test_a_tokenizer_without_a_mask_token_has_no_mask_operator():
    assert Perturber(tiny_tokenizer(), [], OPERATORS, 0).operators == ("delete", "replace")
    assert Perturber(tokenizer_with_mask(), [], OPERATORS, 0).operators == OPERATORS
    with pytest.raises(ConfigError, match=r"unknown operator 'blur'.*delete, mask, replace"):
        Perturber(tiny_tokenizer(), [], ["blur"], 0)


@pytest.mark.parametrize("masked", [False, True])
def test_logits_of_queries_equal_those_of_whole_texts(model, masked):
    if masked:
        model.masks = random_masks(model, masked_from=1)
    texts = ["good", "the food was bad but we came again", "slow service and a loud place", "good"]
    ids = [tuple(row) for row in encode(model.tokenizer, texts, 16)]
    all_logits = model.logits(texts).concepts
    queries = [(ids[2], "noise"), (ids[0], "food"), (ids[1], "noise"), (ids[1], "food"), (ids[3], "food")]
    expected = [(2, "noise"), (0, "food"), (1, "noise"), (1, "food"), (3, "food")]
    with prepared(model) as ready:
        for batch_tokens in (1, 20, 2048):
            logits = concept_logits_for(ready, queries, batch_tokens)
            for (row, name), values in zip(expected, logits, strict=True):
                np.testing.assert_allclose(values, all_logits[name][row], atol=2e-5)
    assert not np.allclose(logits[0], logits[2], atol=1e-4)


def test_equal_queries_are_computed_once(model, monkeypatch):
    computed, represent = [], type(model).represent

    def counted(self, ids, mask, rows):
        computed.append({name: len(indices) for name, indices in rows.items()})
        return represent(self, ids, mask, rows)

    monkeypatch.setattr(type(model), "represent", counted)
    text = tuple(tokenize_words(model.tokenizer, ["good food"], 16)[0].ids)
    concept_logits_for(model.eval(), [(text, "food")] * 5 + [(text[:-1], "noise")])
    assert computed == [{"food": 1, "noise": 1}]
