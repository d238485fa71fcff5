"""Words and their positions in the text, for the tokenizers of all families of backbones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from sparsecbm.base.errors import ModelError
from sparsecbm.explain.words import tokenize_words
from sparsecbm.model.batches import encode

CORPUS = ["The food was good, but we don't wait.", "good food, bad service! we wait for 3.5 hours"] * 3


def wordpiece() -> PreTrainedTokenizerFast:
    """Return a tokenizer like BERT's: words and punctuation, then word pieces; it drops accents and case."""
    pieces = ["the", "fo", "##od", "was", "good", "##s", "'", "don", "t", ",", "!", ".", "3", "5", "caf", "##e", "s"]
    vocabulary = {piece: i for i, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *pieces])}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)


def byte_bpe(opt: bool = False) -> PreTrainedTokenizerFast:
    """Return a tokenizer like GPT-2's: bytes, with the space in the first token of a word; OPT adds a first token."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["</s>"] if opt else ["<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    inner.train_from_iterator(CORPUS, trainer)
    inner.decoder = decoders.ByteLevel()
    inner.post_processor = processors.ByteLevel(trim_offsets=False)
    if opt:
        inner.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=special[0], unk_token=special[0])


def sentencepiece() -> PreTrainedTokenizerFast:
    """Return a tokenizer like Llama's: no words, a mark for each space, bytes for unknown characters."""
    inner = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    splitters = [pre_tokenizers.Split("▁", "merged_with_next"), pre_tokenizers.Punctuation()]
    inner.pre_tokenizer = pre_tokenizers.Sequence(splitters)  # for training only
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=360, special_tokens=special, show_progress=False)
    inner.train_from_iterator(CORPUS, trainer)
    inner.pre_tokenizer = None
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


TOKENIZERS = {
    "wordpiece": wordpiece(),
    "byte_bpe": byte_bpe(),
    "opt": byte_bpe(opt=True),
    "sentencepiece": sentencepiece(),
}
EVERY = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)


def words_of(tokenizer, text, max_length=64):
    (tokenized,) = tokenize_words(tokenizer, [text], max_length)
    return tokenized


@EVERY
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The foods was  good, don't!", ["The", "foods", "was", "good", ",", "don't", "!"]),
        ("3.5 stars. (the 1,000th)", ["3.5", "stars", ".", "(", "the", "1,000th", ")"]),
        ("good.The café's new", ["good", ".", "The", "café's", "new"]),
        ("well-kept\n\tfood", ["well", "-", "kept", "food"]),
        ("a 👍🏽 b 👨‍👩‍👧 c 🇩🇪", ["a", "👍🏽", "b", "👨‍👩‍👧", "c", "🇩🇪"]),
        ("הָאֹכֶל היה טוב", ["הָאֹכֶל", "היה", "טוב"]),
        ("الطعام جيّد، شكرا", ["الطعام", "جيّد", "،", "شكرا"]),
        ("料理 good", ["料", "理", "good"]),
        ("<b>hi</b>", ["<", "b", ">", "hi", "<", "/", "b", ">"]),
    ],
)
def test_words_by_hand_for_every_tokenizer(tokenizer, text, words):
    tokenized = words_of(tokenizer, text)
    assert list(tokenized.words) == words
    assert [text[start:end] for start, end in tokenized.spans] == words
    assert not tokenized.truncated


def test_a_token_that_covers_several_words_joins_them():
    assert words_of(wordpiece(), "good👍 food").words == ("good👍", "food")  # one unknown token for both
    assert words_of(byte_bpe(), "good👍 food").words == ("good", "👍", "food")


def test_pieces_of_a_word_are_its_tokens():
    tokenized = words_of(wordpiece(), "foods was good")  # [CLS] fo ##od ##s was good [SEP]
    assert tokenized.word_indices.tolist() == [-1, 0, 0, 0, 1, 2, -1]
    words, special = tokenized.merged(np.array([[10.0, 1, 2, 4, 8, 16, 20]]))
    assert words.tolist() == [[7, 8, 16]] and special.tolist() == [[10, 20]]


def test_special_tokens_and_spaces_belong_to_no_word():
    assert words_of(wordpiece(), "the [SEP] food").special == ("[CLS]", "[SEP]", "[SEP]")
    assert words_of(wordpiece(), "[CLS] [SEP]").words == ()
    assert words_of(byte_bpe(), "good<|endoftext|> food").special == ("<|endoftext|>",)
    assert words_of(byte_bpe(), "good\n").special == ("Ċ",)
    assert words_of(byte_bpe(opt=True), "good").special == ("</s>",)
    assert words_of(sentencepiece(), "good").special == ("<s>",)


def test_an_unknown_word_is_a_word():
    tokenized = words_of(wordpiece(), "the zzz")
    assert tokenized.words == ("the", "zzz") and tokenized.special == ("[CLS]", "[SEP]")


@EVERY
@pytest.mark.parametrize("text", ["", "  ", "\u200e \u200b", "\x00"])
def test_a_text_without_words_has_special_tokens_only(tokenizer, text):
    tokenized = words_of(tokenizer, text)
    assert tokenized.words == () and len(tokenized.special) == len(tokenized.ids)


@EVERY
def test_a_cut_text_is_marked_as_truncated(tokenizer):
    text = "good food " * 10_000
    tokenized = words_of(tokenizer, text, max_length=12)
    assert tokenized.truncated and len(tokenized.ids) == 12
    assert 1 < len(tokenized.words) <= 12 and set(tokenized.words[:-1]) == {"good", "food"}
    assert not words_of(tokenizer, "good food", max_length=12).truncated


def test_a_cut_word_ends_at_the_cut():
    tokenized = words_of(byte_bpe(), "x" * 50, max_length=7)
    assert tokenized.words == ("x" * 7,) and tokenized.truncated


@EVERY
def test_token_ids_equal_those_of_the_model(tokenizer):
    texts = ["The food was good", "", "👍 don't", "good food " * 50]
    assert [list(tokenized.ids) for tokenized in tokenize_words(tokenizer, texts, 16)] == encode(tokenizer, texts, 16)


@EVERY
def test_a_mark_after_a_blank_is_a_word_without_the_blank(tokenizer):
    """The Thai vowel U+0E33 and the blank before it are one grapheme."""
    spans = words_of(tokenizer, "good \u0e33", 16).spans
    assert spans[-1] == (5, 6) and spans[0][0] == 0


@EVERY
@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=40) | st.text("gofd the.,'!\n 3é👍‍שﷺ", max_size=40), length=st.integers(3, 40))
def test_words_of_any_text_are_consistent(tokenizer, text, length):
    """Spans ascend and do not overlap, each gives its word, and no score is lost."""
    tokenized = words_of(tokenizer, text, length)
    assert all(text[start:end] == word for (start, end), word in zip(tokenized.spans, tokenized.words, strict=True))
    edges = [edge for span in tokenized.spans for edge in span]
    assert edges == sorted(edges) and all(word == word.strip() != "" for word in tokenized.words)
    assert len(tokenized.word_indices) == len(tokenized.ids) and (tokenized.word_indices < 0).sum() == len(
        tokenized.special
    )
    assert sorted(set(tokenized.word_indices[tokenized.word_indices >= 0].tolist())) == list(
        range(len(tokenized.words))
    )
    scores = np.random.default_rng(0).normal(size=(2, len(tokenized.ids)))
    words, special = tokenized.merged(scores)
    np.testing.assert_allclose(words.sum(-1) + special.sum(-1), scores.sum(-1), atol=1e-12)


def test_a_tokenizer_without_positions_is_an_error():
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="Slow does not give the positions of tokens"):
        tokenize_words(Slow(), ["good"], 16)


def test_no_texts_give_no_words():
    assert tokenize_words(wordpiece(), [], 16) == []
