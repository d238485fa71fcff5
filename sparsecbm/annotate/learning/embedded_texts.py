"""Texts and their clauses as vectors of a sentence encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsecbm.annotate.clauses import split_texts
from sparsecbm.annotate.sentence_encoder import Encode


@dataclass(frozen=True)
class EmbeddedTexts:
    """Vectors of texts and of their clauses, each of unit length.

    Attributes:
        texts: [texts, width]
        clauses: [clauses, width], in the order of the texts
        owners: [clauses], the text that each clause is from
    """

    texts: np.ndarray
    clauses: np.ndarray
    owners: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def best_clause(self, values: np.ndarray) -> np.ndarray:
        """The largest value among the clauses of each text: [clauses, columns] to [texts, columns]."""
        best = np.full((len(self), values.shape[1]), -np.inf)
        np.maximum.at(best, self.owners, values)
        return best

    def weighted_sum(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The weighted sum over the clauses of each text: [clauses, columns] and [clauses] to [texts, columns]."""
        total = np.zeros((len(self), values.shape[1]))
        np.add.at(total, self.owners, weights[:, None] * values)
        return total


def embed_texts(encode: Encode, texts: Sequence[str]) -> EmbeddedTexts:
    """Encode texts and their clauses."""
    clauses, owners = split_texts(texts)
    vectors = encode([*texts, *clauses])
    return EmbeddedTexts(vectors[: len(texts)], vectors[len(texts) :], owners)
