"""Tokenizers of backbones: one is needed, and it must be that of the backbone."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from sparsecbm.base.errors import ModelError
from sparsecbm.model.backbone import load_backbone
from tests.support.tiny_models import write_backbone


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a backbone with 40 embeddings and a tokenizer of 40 tokens."""
    return write_backbone(tmp_path / "backbone")


def write_words(folder, count):
    """Replace the tokenizer by one with this many tokens."""
    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *(f"mot{i}" for i in range(count - 2))])}
    inner = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)


def test_a_folder_without_a_tokenizer_is_refused(folder):
    load_backbone(str(folder))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"backbone has no tokenizer \(tokenizer\.json"):
        load_backbone(str(folder))
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match="has no tokenizer"):
        load_backbone(str(folder))


@pytest.mark.parametrize("count", [36, 40])
def test_a_table_of_embeddings_may_be_padded_a_little(folder, count):
    write_words(folder, count)
    assert len(load_backbone(str(folder))[1]) == count


@pytest.mark.parametrize("count", [5, 35])
def test_a_tokenizer_of_another_model_is_refused(folder, count):
    write_words(folder, count)
    with pytest.raises(ModelError, match=f"has {count} tokens, but the backbone has embeddings for 40, so it belongs"):
        load_backbone(str(folder))


def test_a_token_without_an_embedding_is_refused(folder):
    write_words(folder, 41)
    with pytest.raises(ModelError, match="tokens up to number 40, but the model has embeddings for 40 tokens only"):
        load_backbone(str(folder))


def test_two_vocabularies_in_one_folder_are_refused(folder):
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    load_backbone(str(folder))
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", *(f"mot{i}" for i in range(39))]))
    with pytest.raises(ModelError, match=r"has two vocabularies: 'mot0' and 38 other words of vocab\.txt"):
        load_backbone(str(folder))


def test_weights_as_a_pickle_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"has no weights \(\*\.safetensors\), only a pickle, which can hold code"):
        load_backbone(str(folder))
