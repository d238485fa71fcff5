"""Texts without some of their words, as the token ids that a model reads.

A score of faithfulness depends on what takes the place of a word, so there are three operators:

delete   its tokens go, and the text gets shorter
mask     each of its tokens becomes the mask token
replace  its tokens become those of a word that was drawn from the texts themselves

What belongs to no word (special tokens, space) stays. The word that replaces another is drawn once for each place of a
text, so all attributions of a text are judged by the same replacements. It has at most as many tokens, so that no text
outgrows what the model reads.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from transformers import PreTrainedTokenizerBase

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.explain.words import TokenizedText

OPERATORS = ("delete", "mask", "replace")


class Perturber:
    """Takes words out of texts, each by one of the operators.

    Attributes:
        texts: as `tokenize_words` gives them; replacements are drawn from their words, as often as they occur
        operators: those that were asked for and that the tokenizer has a token for: without a mask token, no `mask`

    Raises:
        ConfigError: an operator is unknown; names the choices.
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
        self._tokens = [_tokens_of_words(text) for text in self.texts]
        pool = sorted((tokens for words in self._tokens for tokens in words), key=lambda tokens: (len(tokens), tokens))
        sizes = np.array([len(tokens) for tokens in pool])
        self._drawn = []
        for text, words in zip(self.texts, self._tokens, strict=True):
            draw = np.random.default_rng([seed, crc32(text.text.encode())])
            fitting = [int(np.searchsorted(sizes, len(tokens), "right")) for tokens in words]
            self._drawn.append([pool[draw.integers(count)] for count in fitting])

    def without(self, number: int, gone: np.ndarray, operator: str) -> tuple[int, ...]:
        """Token ids of a text whose words are gone.

        Args:
            number: of the text
            gone: [words], truth values
            operator: one of `operators`
        """
        text, ids, seen = self.texts[number], [], -1
        for token, place in zip(text.ids, text.word_indices.tolist(), strict=True):
            if place < 0 or not gone[place]:
                ids.append(token)
            elif operator == "mask":
                ids.append(self._mask)
            elif operator == "replace" and place != seen:  # once for all tokens of the word
                ids.extend(self._drawn[number][place])
            seen = place if place >= 0 else seen
        return tuple(ids)


def _tokens_of_words(text: TokenizedText) -> list[tuple[int, ...]]:
    ids = np.array(text.ids)
    return [tuple(ids[text.word_indices == word].tolist()) for word in range(len(text.words))]
