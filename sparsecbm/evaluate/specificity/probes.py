"""Fresh linear probes: what the pooled text under a mask says about a concept, whatever its trained head makes of it.

A head may fail under another concept's mask only because it was trained under its own. A probe that is fitted
under the very mask that it is tested under has no such excuse (after Alain and Bengio, arXiv 1610.01644).
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsecbm.base.errors import DataError
from sparsecbm.base.metrics import MISSING
from sparsecbm.evaluate.evidence import Evidence, correctness
from sparsecbm.evaluate.pooled import Pooled

# Inverse strength of the L2 penalty; strong, since hundreds of inputs face about a thousand texts.
C = 0.01


def sample(frame: pd.DataFrame, texts: int, seed: int) -> pd.DataFrame:
    """At most so many rows, drawn by a seed: the same of a table for every model that is measured with them.

    Raises:
        DataError: no text is asked for.
    """
    if texts < 1:
        raise DataError(f"probes need at least one training text, not {texts}")
    return frame.sample(min(texts, len(frame)), random_state=seed)


def probe(training: Pooled, evaluated: Pooled) -> Evidence:
    """Fit a multinomial logistic regression for every concept under every mask, and say which texts it reads rightly.

    Args:
        training, evaluated: from one model; the probes are fitted on the first

    Raises:
        DataError: nobody knows the state of a concept for any training text.
    """
    read = {}
    for name, gold in training.gold.items():
        known = gold != MISSING
        if not known.any():
            raise DataError(f"no training text of the probes has a state for concept {name!r}; give more texts")
        columns = [_fitted(training.texts[m][known], gold[known], evaluated.texts[m]) for m in training.gold]
        read[name] = np.stack(columns, axis=1)
    return correctness(evaluated, read)


def _fitted(features: np.ndarray, gold: np.ndarray, evaluated: np.ndarray) -> np.ndarray:
    """Class indices, [texts], of a probe that was fitted on features, [training texts, hidden]."""
    if len(np.unique(gold)) < 2:  # one class: nothing to separate
        return np.full(len(evaluated), gold[0])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
    return classifier.fit(features.astype(np.float64), gold).predict(evaluated.astype(np.float64))
