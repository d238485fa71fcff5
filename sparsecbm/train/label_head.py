"""The label head fitted by itself: a multinomial logistic regression from activations to the label.

A model is more certain of its training texts than of other texts, so a head that is fitted on them is overconfident.
One number fixes this: the head is divided by the temperature that suits held-out texts. This changes no predicted
label.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from sparsecbm.base.errors import DataError
from sparsecbm.train.reproducible import one_blas_thread

# Inverse strength of the L2 penalty. It is weak, since there are a dozen inputs and thousands of texts.
INVERSE_STRENGTH = 10.0
ABSENT_CLASS_BIAS = -1e4  # b of a class that no text has
MAX_TEMPERATURE = 10.0  # temperatures lie between 1 / MAX_TEMPERATURE and this


@one_blas_thread
def fit_label_head(activations: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit u = V c + b.

    Args:
        activations: [texts, sum of states], concepts side by side
        labels: [texts], class indices
        classes: number of label classes

    Returns:
        V, [classes, sum of states], and b, [classes]. A class that no text has gets b = `ABSENT_CLASS_BIAS`.

    Raises:
        DataError: the texts have fewer than two classes.
    """
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError("the training split has fewer than two label classes; a label head cannot be fitted")
    regression = LogisticRegression(C=INVERSE_STRENGTH, max_iter=2000).fit(activations, labels)
    coefficients, intercept = regression.coef_, regression.intercept_
    if len(present) == 2:  # scikit-learn keeps one row, of the second class against the first
        coefficients = np.vstack([-coefficients / 2, coefficients / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    weight = np.zeros((classes, activations.shape[1]))
    bias = np.full(classes, ABSENT_CLASS_BIAS)
    weight[present], bias[present] = coefficients, intercept
    return weight, bias


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T whose softmax(logits / T) has the least Brier score (Guo et al., arXiv 1706.04599, section 4.2).

    Guo et al. minimise log-loss. A few texts with badly wrong labels dominate log-loss, and all other texts then become
    too uncertain.

    Args:
        logits: [texts, classes], of texts that the head was not fitted on
        labels: [texts], class indices; T is 1 without any
    """
    if not len(labels):
        return 1.0

    gold = np.eye(logits.shape[1])[labels]

    def brier_score(log_temperature: float) -> float:
        return float(np.square(softmax(logits * np.exp(-log_temperature), axis=1) - gold).sum(1).mean())

    bound = np.log(MAX_TEMPERATURE)
    return float(np.exp(minimize_scalar(brier_score, bounds=(-bound, bound), method="bounded").x))
