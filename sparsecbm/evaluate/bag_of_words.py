"""The baseline that anyone can beat a demo with: counts of words and word pairs, logistic regression."""

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sparsecbm.concepts import ConceptSet
from sparsecbm.metrics import MISSING
from sparsecbm.train.examples import indices


def bag_of_words(training: pd.DataFrame, frame: pd.DataFrame, concept_set: ConceptSet) -> dict[str, np.ndarray]:
    """Class indices read by one bag-of-words classifier a variable, fitted on the training split.

    Returns:
        `label` and each concept's name -> [rows of frame]
    """
    variables = {"label": concept_set.label} | {f"concept.{c.name}": c for c in concept_set}
    read = {}
    for column, variable in variables.items():
        gold = indices(training[column], variable).numpy()
        known = gold != MISSING
        name = column.removeprefix("concept.")
        if len(np.unique(gold[known])) < 2:  # nothing to separate: the only class that occurs
            read[name] = np.full(len(frame), gold[known][0] if known.any() else 0)
            continue
        classifier = make_pipeline(
            CountVectorizer(ngram_range=(1, 2), lowercase=True), LogisticRegression(max_iter=1000)
        )
        classifier.fit(training["text"][known], gold[known])
        read[name] = classifier.predict(frame["text"])
    return read
