"""From tokens back to words: which tokens each word consists of, and its position in the original text.

Tokenizers of different families split words differently, and a Llama's has no words. So words are taken from the text:
runs of letters, marks and digits are words, and so is every other visible character. If one token covers several of
them, they are joined to one word, since the model cannot tell them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import regex
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from sparsecbm.base.errors import ModelError
from sparsecbm.model.batches import tokenize

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"  # written without spaces
_WORD = regex.compile(
    rf"""
      [{_UNSPACED}]\p{{M}}*                                # a character that is a word by itself
    | (?:(?![{_UNSPACED}])[\p{{L}}\p{{M}}\p{{N}}_\u200c\u200d])+   # letters, marks, digits, their joiners;
      (?: (?: ['’](?=\p{{L}}) | (?<=\p{{N}})[.,](?=\p{{N}}) )       # don't and 3.5 are one word each
          (?:(?![{_UNSPACED}])[\p{{L}}\p{{M}}\p{{N}}_\u200c\u200d])+ )*
    | \X                                                    # anything else by itself: an emoji with all its parts
    """,
    regex.VERBOSE,
)
_VISIBLE = regex.compile(r"[^\p{Z}\p{Cc}\p{Cf}]")


@dataclass(frozen=True)
class TokenizedText:
    """A text as a model receives it, and the words that its tokens belong to.

    Attributes:
        text: the original text
        ids: token ids with special tokens, as `ConceptBottleneck.logits` uses them
        words: `text[start:end]` of each span, in order
        spans: (start, end) of each word in characters of `text`
        word_indices: [tokens], the index of each token's word; -1 for a token that belongs to no word
        special: tokens that belong to no word, in order: special tokens, and those that cover nothing visible
        truncated: whether the text was cut; the last word may then be only a part of a word
    """

    text: str
    ids: tuple[int, ...]
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    word_indices: np.ndarray
    special: tuple[str, ...]
    truncated: bool

    def merged(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of tokens, [..., tokens], as sums by word, [..., words], and of special tokens, [..., special]."""
        in_word = self.word_indices >= 0
        words = np.zeros((*scores.shape[:-1], len(self.words)), scores.dtype)
        np.add.at(words, (..., self.word_indices[in_word]), scores[..., in_word])
        return words, scores[..., ~in_word]


def tokenize_words(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> list[TokenizedText]:
    """Tokenize texts as the model does, cut at `max_length` tokens, and find their words.

    Raises:
        ModelError: the tokenizer does not give the positions of tokens in the text.
    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"{type(tokenizer).__name__} does not give the positions of tokens in a text, so words cannot be marked; "
            "save the model with a fast tokenizer (tokenizer.json)"
        )
    if not texts:
        return []
    encoded = tokenize(tokenizer, texts, max_length)
    special = set(tokenizer.all_special_tokens)
    return [_find_words(text, encoding, special) for text, encoding in zip(texts, encoded.encodings, strict=True)]


def _visible_span(match: regex.Match[str]) -> tuple[int, int]:
    """Start and end of a match without white space: a mark such as the Thai U+0E33 joins the blank before it."""
    piece = match[0]
    return match.end() - len(piece.lstrip()), match.start() + len(piece.rstrip())


def _find_words(text: str, encoding: Encoding, special: set[str]) -> TokenizedText:
    pieces = [_visible_span(match) for match in _WORD.finditer(text) if _VISIBLE.search(match[0])]
    starts, ends = np.array(pieces, dtype=int).reshape(-1, 2).T
    words: list[tuple[int, int]] = []  # first and last piece of each
    word_indices: list[int] = []
    special_tokens: list[str] = []
    for token, (start, end), added in zip(encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True):
        typed = token in special and text[start:end].strip() == token  # "[SEP]" in a review is not a word either
        first, last = int(np.searchsorted(ends, start, "right")), int(np.searchsorted(starts, end)) - 1
        if added or typed or start == end or last < first:
            word_indices.append(-1)
            special_tokens.append(token)
            continue
        if words and first <= words[-1][1]:  # the token continues the last word, or joins others to it
            words[-1] = (words[-1][0], max(last, words[-1][1]))
        else:
            words.append((first, last))
        word_indices.append(len(words) - 1)
    spans = [(int(starts[first]), int(ends[last])) for first, last in words]
    truncated = bool(encoding.overflowing)
    if truncated and spans:  # the model may have received only a part of the last word
        last_word = len(spans) - 1
        cut = max(end for (_, end), index in zip(encoding.offsets, word_indices, strict=True) if index == last_word)
        spans[-1] = (spans[-1][0], min(spans[-1][1], cut))
    return TokenizedText(
        text,
        tuple(encoding.ids),
        tuple(text[start:end] for start, end in spans),
        tuple(spans),
        np.array(word_indices, dtype=int),
        tuple(special_tokens),
        truncated,
    )
