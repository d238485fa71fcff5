"""The label head fitted by itself: a multinomial logistic regression from activations to the label.

Training texts are read with more certainty than others, so a head that was fitted on them is far too sure of itself.
One number mends that: the head is divided by the temperature that suits texts that were held out, which changes no
label that it reads."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from sparsecbm.base.errors import DataError
from sparsecbm.train.reproducible import one_blas_thread

# Inverse strength of the L2 penalty; weak, since a dozen inputs and thousands of texts need little.
INVERSE_STRENGTH = 10.0
ABSENT_CLASS_BIAS = -1e4  # b of a class without a text
MAX_TEMPERATURE = 10.0  # temperatures lie between this and its inverse


@one_blas_thread
def fit_label_head(activations: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit u = V c + b.

    Args:
        activations: [texts, sum of states], concepts side by side
        labels: [texts], class indices
        classes: number of label classes

    Returns:
        V, [classes, sum of states], and b, [classes]. A class without a text gets b = `ABSENT`.

    Raises:
        DataError: fewer than two classes occur.
    """
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError("the training split has fewer than two label classes; a label head cannot be fitted")
    fitted = LogisticRegression(C=INVERSE_STRENGTH, max_iter=2000).fit(activations, labels)
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if len(present) == 2:  # sklearn keeps one row, of the second class against the first
        coefficients = np.vstack([-coefficients / 2, coefficients / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    weight = np.zeros((classes, activations.shape[1]))
    bias = np.full(classes, ABSENT_CLASS_BIAS)
    weight[present], bias[present] = coefficients, intercept
    return weight, bias


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T for which softmax(logits / T) has the least Brier score (Guo et al., arXiv 1706.04599, section 4.2).

    Log-loss, which they take, is ruled by the few texts whose label is missed by far: it makes all others too unsure.

    Args:
        logits: [texts, classes], of texts that the head was not fitted on
        labels: [texts], class indices; without any, T is 1
    """
    if not len(labels):
        return 1.0

    gold = np.eye(logits.shape[1])[labels]

    def brier_score(log_temperature: float) -> float:
        return np.square(softmax(logits * np.exp(-log_temperature), axis=1) - gold).sum(1).mean()

    bound = np.log(MAX_TEMPERATURE)
    return float(np.exp(minimize_scalar(brier_score, bounds=(-bound, bound), method="bounded").x))
