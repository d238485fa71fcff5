"""A simple baseline: logistic regression on counts of words and word pairs."""

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
    """The classifier for a training split with a single class."""

    class_index: int

    def predict(self, counts: csr_matrix) -> np.ndarray:
        return np.full(counts.shape[0], self.class_index)


@dataclass(frozen=True)
class BagOfWords:
    """A classifier for the label and for each concept, over the words and word pairs of the training split."""

    vectorizer: CountVectorizer
    classifiers: dict[str, LogisticRegression | _Constant]

    def predict(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Predicted class indices, [texts], by name: `label` and each concept."""
        counts = self.vectorizer.transform(texts)
        return {name: classifier.predict(counts) for name, classifier in self.classifiers.items()}


@one_blas_thread
def fit_bag_of_words(training: pd.DataFrame, concept_set: ConceptSet) -> BagOfWords:
    """Fit the baseline on an annotated table. A variable leaves out the rows without a state."""
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
