"""Texts without some of their words, as the token ids that a model takes.

A score of faithfulness depends on what replaces a removed word, so there are three operators:

delete   the word's tokens are removed, and the text gets shorter
mask     each of its tokens becomes the mask token
replace  its tokens become those of another word, drawn from the texts themselves

Tokens outside words (special tokens, space) stay. The replacement of a word is drawn once for each position, so all
attributions of a text are judged by the same replacements. It has at most as many tokens as the word, so no text grows.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from transformers import PreTrainedTokenizerBase

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.explain.words import TokenizedText

OPERATORS = ("delete", "mask", "replace")


class Perturber:
    """Removes words from texts by one of the operators.

    Attributes:
        texts: from `read_words`; replacements are drawn from their words, as often as they occur
        operators: the requested ones; `mask` is left out if the tokenizer has no mask token

    Raises:
        ConfigError: an operator is unknown; the message lists the choices.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[TokenizedText], operators: Sequence[str], seed: int
    ):
        for operator in operators:
            if operator not in OPERATORS:
                raise ConfigError(unknown("operator", operator, OPERATORS))
        self.texts = list(texts)
        self.operators = tuple(o for o in operators if o != "mask" or tokenizer.mask_token_id is not None)
        self._mask = tokenizer.mask_token_id
        tokens_of_texts = [_tokens_of_words(text) for text in self.texts]
        pool = sorted(
            (tokens for words in tokens_of_texts for tokens in words), key=lambda tokens: (len(tokens), tokens)
        )
        sizes = np.array([len(tokens) for tokens in pool])
        self._replacements = []
        for text, words in zip(self.texts, tokens_of_texts, strict=True):
            generator = np.random.default_rng([seed, crc32(text.text.encode())])
            fitting = [int(np.searchsorted(sizes, len(tokens), "right")) for tokens in words]
            self._replacements.append([pool[generator.integers(count)] for count in fitting])

    def without(self, text_index: int, removed: np.ndarray, operator: str) -> tuple[int, ...]:
        """Token ids of a text without some of its words.

        Args:
            removed: [words], truth values
            operator: one of `operators`
        """
        text, ids, last_word = self.texts[text_index], [], -1
        for token, word in zip(text.ids, text.word_indices.tolist(), strict=True):
            if word < 0 or not removed[word]:
                ids.append(token)
            elif operator == "mask":
                ids.append(self._mask)
            elif operator == "replace" and word != last_word:  # once for all tokens of the word
                ids.extend(self._replacements[text_index][word])
            last_word = word if word >= 0 else last_word
        return tuple(ids)


def _tokens_of_words(text: TokenizedText) -> list[tuple[int, ...]]:
    ids = np.array(text.ids)
    return [tuple(ids[text.word_indices == word].tolist()) for word in range(len(text.words))]
