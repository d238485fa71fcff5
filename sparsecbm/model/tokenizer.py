"""The tokenizer of a backbone: loaded without code of others, and compared with the backbone's table of words."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from sparsecbm.base.errors import ModelError
from sparsecbm.model.architecture import foreign_faults
from sparsecbm.model.batches import encode
from sparsecbm.model.folder_entries import read_settings

# One of these holds the vocabulary. Without any, transformers makes a tokenizer that knows five special tokens.
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "tekken.json")
SENTENCEPIECE = "*.model"
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json")
# Tables are padded to round numbers: DeepSeek's by 2 %. A table that is emptier belongs to other words.
LEAST_FILLED = 0.9


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Read a tokenizer from a folder.

    Raises:
        ModelError: the folder holds no tokenizer, a damaged one, or one that asks to run code.
    """
    if not any((folder / name).is_file() for name in VOCABULARIES) and not any(folder.glob(SENTENCEPIECE)):
        raise ModelError(
            f"{folder} has no tokenizer ({', '.join(VOCABULARIES)} or {SENTENCEPIECE}); save the tokenizer of the "
            "model there, with `tokenizer.save_pretrained`"
        )
    for name in SETTINGS:
        if (folder / name).is_file():
            read_settings(folder / name)
    with foreign_faults(f"the tokenizer in {folder} cannot be loaded"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
    return tokenizer


def prepare_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    """Pad on the right; a tokenizer without a pad token pads with its end-of-text token, which masks hide.

    Raises:
        ModelError: there is no token to pad with.
    """
    forget_padding(tokenizer)
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise ModelError(
            "the backbone's tokenizer has no pad, end or unknown token to pad with; set one and save the tokenizer"
        )


def forget_padding(tokenizer: PreTrainedTokenizerBase) -> None:
    """Clear the padding and truncation that a fast tokenizer keeps from its file or its last call."""
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.no_truncation()


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, rows: int, max_length: int, source: str) -> None:
    """Check that every token of a tokenizer has a row in a table of embeddings.

    Args:
        rows: of the table
        max_length: tokens at which texts are cut
        source: of the tokenizer, which messages name

    Raises:
        ModelError: a token has no row, the tokenizer cannot pad, or it fails on a text.
    """
    with foreign_faults(f"the tokenizer in {source} does not work"):
        vocabulary = tokenizer.get_vocab()
        tokens = encode(tokenizer, ["", "a", "a b " * max_length], max_length)
        pad = tokenizer.pad_token_id
        highest = max([*vocabulary.values(), *(token for row in tokens for token in row)], default=0)
    if not isinstance(pad, int):
        raise ModelError(f"the tokenizer in {source} has no pad token; restore the folder")
    if max(highest, pad) >= rows:
        raise ModelError(
            f"the tokenizer in {source} has tokens up to number {max(highest, pad)}, but the model has embeddings for "
            f"{rows} tokens only; take the tokenizer that belongs to the model"
        )
    if max(len(row) for row in tokens) > max_length:
        raise ModelError(f"the tokenizer in {source} does not cut texts at {max_length} tokens; raise model.max_length")


def check_filled(tokenizer: PreTrainedTokenizerBase, folder: Path, rows: int) -> None:
    """Check that a tokenizer is that of a backbone: a small one would make every word unknown, in silence.

    Args:
        folder: of the backbone
        rows: of its table of embeddings

    Raises:
        ModelError: the table has far more rows than the tokenizer has tokens, or the folder has two vocabularies.
    """
    known = len(tokenizer)
    if known < LEAST_FILLED * rows:
        raise ModelError(
            f"the tokenizer in {folder} has {known} tokens, but the backbone has embeddings for {rows}, so it belongs "
            "to another model; save the tokenizer of this backbone there"
        )
    listing = folder / "vocab.txt"
    if not listing.is_file() or not (folder / "tokenizer.json").is_file():
        return
    with foreign_faults(f"{listing} cannot be read"):
        words = listing.read_text(encoding="utf-8").split("\n")
    vocabulary = tokenizer.get_vocab()
    listed = {word.rstrip("\r") for word in words if word.strip()}
    other = sorted(listed - vocabulary.keys())
    if len(other) > (1 - LEAST_FILLED) * len(listed):
        raise ModelError(
            f"{folder} has two vocabularies: {other[0]!r} and {len(other) - 1} other words of vocab.txt are not in "
            "tokenizer.json; keep the files of one tokenizer"
        )
