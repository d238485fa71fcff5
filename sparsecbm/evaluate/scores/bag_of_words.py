"""The baseline that anyone can beat a demo with: counts of words and word pairs, logistic regression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.metrics import MISSING
from sparsecbm.train.examples import class_indices
from sparsecbm.train.reproducible import one_blas_thread


@dataclass(frozen=True)
class _Constant:
    """Stands for a classifier where the training split holds one class: there is nothing to separate."""

    answer: int

    def predict(self, counts: csr_matrix) -> np.ndarray:
        return np.full(counts.shape[0], self.answer)


@dataclass(frozen=True)
class BagOfWords:
    """One classifier a variable, over the words and word pairs of the training split."""

    vectorizer: CountVectorizer
    classifiers: dict[str, LogisticRegression | _Constant]

    def read(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Class indices, [texts], of `label` and of each concept by name."""
        counts = self.vectorizer.transform(texts)
        return {name: classifier.predict(counts) for name, classifier in self.classifiers.items()}


@one_blas_thread
def fit_bag_of_words(training: pd.DataFrame, concept_set: ConceptSet) -> BagOfWords:
    """Fit the baseline on an annotated table; rows without a state are left out of its variable."""
    vectorizer = CountVectorizer(ngram_range=(1, 2), lowercase=True)
    counts = vectorizer.fit_transform(training["text"])
    variables = {"label": concept_set.label} | {f"concept.{c.name}": c for c in concept_set}
    classifiers = {}
    for column, variable in variables.items():
        gold = class_indices(training[column], variable).numpy()
        known = gold != MISSING
        if len(np.unique(gold[known])) < 2:
            classifier = _Constant(int(gold[known][0]) if known.any() else 0)
        else:
            classifier = LogisticRegression(max_iter=1000).fit(counts[known], gold[known])
        classifiers[column.removeprefix("concept.")] = classifier
    return BagOfWords(vectorizer, classifiers)
