"""From tokens back to words: which tokens make each word, and where the word stands in the original text.

A tokenizer's own idea of a word differs from family to family (a Llama has none), so words are found in the text:
runs of letters, marks and digits, every other visible character alone. A token that covers several of them joins them:
the model cannot tell them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import regex
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from sparsecbm.base.errors import ModelError

_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"  # written without spaces
_WORD = regex.compile(
    rf"""
      [{_SPACELESS}]\p{{M}}*                                # a character that stands for itself
    | (?:(?![{_SPACELESS}])[\p{{L}}\p{{M}}\p{{N}}_\u200c\u200d])+   # letters, marks, digits, their joiners;
      (?: (?: ['’](?=\p{{L}}) | (?<=\p{{N}})[.,](?=\p{{N}}) )       # don't and 3.5 are one word each
          (?:(?![{_SPACELESS}])[\p{{L}}\p{{M}}\p{{N}}_\u200c\u200d])+ )*
    | \X                                                    # anything else alone: an emoji with all its parts
    """,
    regex.VERBOSE,
)
_VISIBLE = regex.compile(r"[^\p{Z}\p{Cc}\p{Cf}]")


@dataclass(frozen=True)
class TokenizedText:
    """A text as a model reads it, and the words that its tokens belong to.

    Attributes:
        text: the original
        ids: token ids, special tokens included, as `ConceptBottleneck.logits` reads them
        words: what was read, in order; `text[start:end]` of each span
        spans: (start, end) of each word in characters of `text`
        word_indices: [tokens], the index of each token's word; -1 for a token apart
        apart: tokens that belong to no word, in order: special ones, and those that cover nothing visible
        truncated: whether the text goes on after what the model read; the last word may be a part of one then
    """

    text: str
    ids: tuple[int, ...]
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    word_indices: np.ndarray
    apart: tuple[str, ...]
    truncated: bool

    def merged(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of tokens, [..., tokens], summed to words, [..., words], and those apart, [..., apart]."""
        own = self.word_indices >= 0
        words = np.zeros((*scores.shape[:-1], len(self.words)), scores.dtype)
        np.add.at(words, (..., self.word_indices[own]), scores[..., own])
        return words, scores[..., ~own]


def tokenize_words(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> list[TokenizedText]:
    """Tokenize texts as the model does, cut at `max_length` tokens, and find their words.

    Raises:
        ModelError: the tokenizer does not say where in the text its tokens stand.
    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"{type(tokenizer).__name__} does not say where its tokens stand in a text, so words cannot be marked; "
            "save the model with a fast tokenizer (tokenizer.json)"
        )
    if not texts:
        return []
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length, return_attention_mask=False)
    special = set(tokenizer.all_special_tokens)
    return [_worded(text, encoding, special) for text, encoding in zip(texts, encoded.encodings, strict=True)]


def _worded(text: str, encoding: Encoding, special: set[str]) -> TokenizedText:
    pieces = [match.span() for match in _WORD.finditer(text) if _VISIBLE.search(match[0])]
    starts, ends = np.array(pieces, dtype=int).reshape(-1, 2).T
    words: list[tuple[int, int]] = []  # first and last piece of each
    places, apart = [], []
    for token, (start, end), added in zip(encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True):
        typed = token in special and text[start:end].strip() == token  # "[SEP]" in a review is no word either
        first, last = int(np.searchsorted(ends, start, "right")), int(np.searchsorted(starts, end)) - 1
        if added or typed or start == end or last < first:
            places.append(-1)
            apart.append(token)
            continue
        if words and first <= words[-1][1]:  # it goes on with the word before, or joins others to it
            words[-1] = (words[-1][0], max(last, words[-1][1]))
        else:
            words.append((first, last))
        places.append(len(words) - 1)
    spans = [(int(starts[first]), int(ends[last])) for first, last in words]
    truncated = bool(encoding.overflowing)
    if truncated and spans:  # the model may have read the last word in part
        read = max(end for (_, end), place in zip(encoding.offsets, places, strict=True) if place == len(spans) - 1)
        spans[-1] = (spans[-1][0], min(spans[-1][1], read))
    return TokenizedText(
        text,
        tuple(encoding.ids),
        tuple(text[start:end] for start, end in spans),
        tuple(spans),
        np.array(places, dtype=int),
        tuple(apart),
        truncated,
    )
