"""The words and pairs of words that may name what a text speaks of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from sparsecbm.annotate.discovery.corpus import Corpus, unit_rows
from sparsecbm.base.errors import DataError

LEAST_SHARE = 0.002  # of the clauses that hold a term
LEAST_CLAUSES = 4
LEAST_COHERENCE = 0.1
# Words of praise and blame fit every aspect, so they are part of none. (Other languages lose theirs by coherence.)
EVALUATIVE = frozenset(
    {
        "amazing", "awesome", "awful", "bad", "best", "better", "brilliant", "decent", "disappointed", "disappointing",
        "enjoyed", "excellent", "fantastic", "fine", "good", "great", "hate", "hated", "horrible", "like", "liked",
        "love", "loved", "lovely", "mediocre", "nice", "ok", "okay", "outstanding", "perfect", "poor", "recommend",
        "superb", "terrible", "wonderful", "worse", "worst",
    }
)  # fmt: skip
_TOKEN = r"(?u)\b[^\W\d_]{2,}\b"
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Terms:
    """Terms, the clauses that hold them, and where they stand among the clauses.

    Attributes:
        names: [terms]
        counts: [clauses, terms], 1 where a clause holds a term
        vectors: [terms, width], of unit length: the mean embedding of a term's clauses, seen from the mean of all
    """

    names: list[str]
    counts: csr_matrix
    vectors: np.ndarray


def find_terms(corpus: Corpus) -> Terms:
    """The terms that are frequent enough and coherent.

    A term is coherent if the clauses that hold it speak of similar things (see `Corpus.coherence`). Function words have
    a low coherence in every language.

    Raises:
        DataError: there are fewer than two such terms.
    """
    least = max(LEAST_CLAUSES, round(LEAST_SHARE * len(corpus.clauses)))
    vectorizer = CountVectorizer(
        ngram_range=(1, 2),
        stop_words=sorted(ENGLISH_STOP_WORDS | EVALUATIVE),
        min_df=least,
        binary=True,
        token_pattern=_TOKEN,
    )
    try:
        counts = vectorizer.fit_transform(corpus.clauses)
    except ValueError:  # scikit-learn found no term that is frequent enough
        counts = csr_matrix((len(corpus.clauses), 0))
    names = vectorizer.get_feature_names_out() if counts.shape[1] else np.array([], dtype=str)
    frequency = np.maximum(1, np.asarray(counts.sum(0)).ravel())
    shifts = np.asarray(counts.T @ corpus.vectors) / frequency[:, None] - corpus.vectors.mean(0)
    kept = np.flatnonzero(corpus.coherence(shifts, frequency) >= LEAST_COHERENCE)
    if len(kept) < 2:
        raise DataError(
            "the texts repeat too few words to suggest concepts; write concepts.yaml by hand, or give more texts"
        )
    return Terms([str(names[i]) for i in kept], counts[:, kept].tocsr(), unit_rows(shifts[kept]))


def class_tfidf(counts: np.ndarray) -> np.ndarray:
    """Class-based TF-IDF (BERTopic, arXiv 2203.05794, eq. 2): tf_tc / |c| * log(1 + A / tf_t).

    Args:
        counts: [classes, terms], how often a class holds a term

    Returns:
        [classes, terms]; A is the mean number of terms of a class
    """
    sizes = counts.sum(1, keepdims=True)
    total = np.maximum(1, counts.sum(0, keepdims=True))
    return counts / np.maximum(1, sizes) * np.log1p(sizes.mean() / total)


def clauses_with(terms: Sequence[str], clauses: Sequence[str]) -> np.ndarray:
    """Which clauses hold one of the terms as whole words, [clauses] of bool; case and a final s do not count."""
    wanted = [form for term in terms if (form := _plain_form(term)).strip()]
    return np.array([any(form in plain for form in wanted) for plain in map(_plain_form, clauses)], dtype=bool)


def _plain_form(text: str) -> str:
    return " " + "".join(f"{word.removesuffix('s')} " for word in _WORD.findall(text.lower()))
