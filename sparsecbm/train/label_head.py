"""The label head fitted by itself: a multinomial logistic regression from activations to the label."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from sparsecbm.errors import DataError
from sparsecbm.train.reproducible import one_blas_thread

# Inverse strength of the L2 penalty; weak, since a dozen inputs and thousands of texts need little.
C = 10.0


@one_blas_thread
def fit_label_head(activations: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit u = V c + b.

    Args:
        activations: [texts, sum of states], concepts side by side
        labels: [texts], class indices
        classes: number of label classes

    Returns:
        V, [classes, sum of states], and b, [classes]. A class without a text gets b = -1e4.

    Raises:
        DataError: fewer than two classes occur.
    """
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError("the training split has fewer than two label classes; a label head cannot be fitted")
    fitted = LogisticRegression(C=C, max_iter=2000).fit(activations, labels)
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if len(present) == 2:  # sklearn keeps one row, of the second class against the first
        coefficients = np.vstack([-coefficients / 2, coefficients / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    weight = np.zeros((classes, activations.shape[1]))
    bias = np.full(classes, -1e4)
    weight[present], bias[present] = coefficients, intercept
    return weight, bias
