"""Linear probes: what the pooled text under a mask says about a concept, whatever the trained head does with it.

A trained head may fail under another concept's mask only because it was trained under its own mask. A probe is fitted
and tested under the same mask, so its failure means that information is missing (Alain and Bengio, arXiv 1610.01644).
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsecbm.base.errors import DataError
from sparsecbm.base.metrics import MISSING
from sparsecbm.base.progress import progress
from sparsecbm.evaluate.evidence import Evidence, correctness
from sparsecbm.evaluate.pooled import Pooled

# Inverse strength of the L2 penalty. The penalty is strong, since there are hundreds of inputs and a thousand texts.
C = 0.01


def sample(frame: pd.DataFrame, texts: int, seed: int) -> pd.DataFrame:
    """A random sample of at most so many rows. A table and a seed always give the same sample.

    Raises:
        DataError: `texts` is below 1.
    """
    if texts < 1:
        raise DataError(f"probes need at least one training text, not {texts}")
    return frame.sample(min(texts, len(frame)), random_state=seed)


def probe(training: Pooled, evaluated: Pooled) -> Evidence:
    """Fit a logistic regression for every concept under every mask, and score its predictions.

    Args:
        training: the texts that the probes are fitted on
        evaluated: the texts that they are scored on, from the same model

    Raises:
        DataError: no training text has a known state of a concept.
    """
    predicted = {}
    for name, gold in progress(training.gold.items(), "probe", "concept", len(training.gold)):
        known = gold != MISSING
        if not known.any():
            raise DataError(f"no training text of the probes has a state for concept {name!r}; add texts with states")
        columns = [fit_probe(training.texts[m][known], gold[known], evaluated.texts[m]) for m in training.gold]
        predicted[name] = np.stack(columns, axis=1)
    return correctness(evaluated, predicted)


def fit_probe(features: np.ndarray, gold: np.ndarray, evaluated: np.ndarray) -> np.ndarray:
    """Fit a probe and predict with it.

    Args:
        features: [training texts, hidden]
        gold: [training texts], class indices
        evaluated: [texts, hidden]

    Returns:
        predicted class indices, [texts]
    """
    if len(np.unique(gold)) < 2:  # a single class needs no probe
        return np.full(len(evaluated), gold[0])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
    return classifier.fit(features.astype(np.float64), gold).predict(evaluated.astype(np.float64))
