"""The texts that concepts are looked for in: a sample of the training texts, cut into clauses and embedded."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.annotate.clauses import split_texts
from sparsecbm.annotate.sentence_encoder import Encode
from sparsecbm.base.errors import DataError

FEWEST_TEXTS = 50


@dataclass(frozen=True)
class Corpus:
    """Labelled texts and their clauses.

    Attributes:
        texts: [texts]
        labels: [texts], class indices into `classes`
        groups: [texts], group numbers; texts of one group are not independent
        classes: the states of the label, in order
        clauses: [clauses]
        owners: [clauses], the index of the text that a clause is from; ascending
        vectors: [clauses, width], embeddings of unit length
    """

    texts: list[str]
    labels: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]
    clauses: list[str]
    owners: np.ndarray
    vectors: np.ndarray

    def text_vectors(self) -> np.ndarray:
        """The embedding of each text, [texts, width]: the mean of those of its clauses, scaled to unit length."""
        return unit_rows(average_by(self.vectors, self.owners, len(self.texts)))

    def coherence(self, shifts: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """How much sets of clauses speak of similar things, [sets].

        With the mean embedding m of all clauses, s^2 = mean |e - m|^2, and the mean m_t of the n clauses of a set, its
        coherence is |m_t - m|^2 / s^2 - 1/n. It is 0 on average for clauses drawn at random.

        Args:
            shifts: [sets, width], m_t - m
            counts: [sets], the number of clauses of each, at least 1
        """
        spread = ((self.vectors - self.vectors.mean(0)) ** 2).sum(1).mean()
        return (shifts**2).sum(1) / max(spread, 1e-12) - 1 / counts


def make_corpus(frame: pd.DataFrame, classes: tuple[str, ...], encode: Encode) -> Corpus:
    """Cut texts into clauses, and embed these.

    Args:
        frame: columns `text`, `label` and `group`, without empty cells
        classes: the states of the label, in order

    Raises:
        DataError: there are too few texts, or they all have one label.
    """
    if len(frame) < FEWEST_TEXTS:
        raise DataError(f"there are {len(frame)} training texts with a label; concepts need at least {FEWEST_TEXTS}")
    if frame["label"].nunique() < 2:
        raise DataError("all training texts have the same label, so concepts cannot be ranked by what they tell of it")
    clauses, owners = split_texts(frame["text"])
    present = tuple(name for name in classes if (frame["label"] == name).any())
    labels = frame["label"].map({name: i for i, name in enumerate(present)}).to_numpy(dtype=int)
    groups = pd.factorize(frame["group"])[0]
    return Corpus(list(frame["text"]), labels, groups, present, clauses, owners, encode(clauses))


def sample_texts(frame: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """At most so many rows: as many of each label as its share allows, and of as many groups as possible.

    One row of each group is taken before a second one of any group.

    Args:
        frame: columns `text`, `label` and `group`
    """
    if len(frame) <= most:
        return frame.reset_index(drop=True)
    shuffled = frame.sample(frac=1, random_state=seed)
    turn = shuffled.groupby("group").cumcount()
    ordered = shuffled.iloc[np.argsort(turn.to_numpy(), kind="stable")]
    position = ordered.groupby("label").cumcount()
    size = ordered["label"].map(ordered["label"].value_counts())
    taken = ordered.iloc[np.argsort(((position + 0.5) / size.astype(float)).to_numpy(), kind="stable")[:most]]
    return taken.sort_index().reset_index(drop=True)


def average_by(rows: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """The mean of the rows [rows, width] of each owner, [count, width]; zero for an owner without rows."""
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, owner, rows)
    return sums / np.maximum(1, np.bincount(owner, minlength=count))[:, None]


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length; a row of zeros stays."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
