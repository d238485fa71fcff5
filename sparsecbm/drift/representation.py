"""Whether two samples of pooled texts come from one distribution: a classifier, and a kernel."""

import numpy as np
from scipy.stats import mannwhitneyu
from sklearn.linear_model import RidgeClassifier

from sparsecbm.drift.shift import Shift

ENOUGH = 10  # permutations at least as far apart as the sides, after which their share is known well enough
BLOCK = 50  # permutations in one product of matrices
RIDGE = 300.0  # weight of the penalty on standardised features; the classifier has hundreds of them and few texts


def compare_by_classifier(reference: np.ndarray, window: np.ndarray, seed: int) -> Shift:
    """Classifier two-sample test (Lopez-Paz and Oquab, arXiv 1610.06545), by the ranks of held-out texts.

    A linear classifier learns from one half of the texts to tell both sides apart, and scores the other half. If there
    is no difference, the scores of both sides have the same ranks (Mann-Whitney, one-sided).

    Args:
        reference, window: [texts, hidden]
        seed: of the halves

    Returns:
        effect: area under the ROC curve on held-out texts, above one half
    """
    draw = np.random.default_rng(seed)
    halves = [np.array_split(draw.permutation(texts), 2) for texts in (reference, window)]
    (learnt_reference, held_reference), (learnt_window, held_window) = halves
    learnt = np.concatenate([learnt_reference, learnt_window])
    mean, scale = learnt.mean(0), learnt.std(0) + 1e-6
    sides = np.repeat([0, 1], [len(learnt_reference), len(learnt_window)])
    classifier = RidgeClassifier(alpha=RIDGE, class_weight="balanced").fit((learnt - mean) / scale, sides)
    scores = [classifier.decision_function((texts - mean) / scale) for texts in (held_window, held_reference)]
    result = mannwhitneyu(*scores, alternative="greater", method="asymptotic")
    area = float(result.statistic) / (len(held_window) * len(held_reference))
    return Shift(max(area - 0.5, 0.0), float(result.pvalue))


def compare_by_kernel(reference: np.ndarray, window: np.ndarray, permutations: int, seed: int) -> Shift:
    """Maximum mean discrepancy with a Gaussian kernel, and its permutation test (Gretton et al., JMLR 13, 2012).

    The bandwidth is the root of the mean squared distance of all texts. Permuting the sides does not change it, so the
    p-value is exact. Permuting ends after `ENOUGH` permutations that are at least as far apart as the sides are, since
    more of them would only sharpen a large p-value (Besag and Clifford, Biometrika 78, 1991).

    Args:
        reference, window: [texts, hidden]
        permutations: most random assignments of the texts to the two sides

    Returns:
        effect: the unbiased estimate of the squared discrepancy (their equation 3), at least 0
    """
    texts = np.concatenate([window, reference]).astype(np.float32)
    kernel = _gaussian_kernel(texts)
    draw = np.random.default_rng(seed)
    sides = np.zeros((1, len(texts)), np.float32)
    sides[0, : len(window)] = 1
    observed = float(_squared_discrepancies(kernel, sides)[0])
    farther = np.zeros(0, bool)  # whether each permutation is at least as far apart
    while len(farther) < permutations and farther.sum() < ENOUGH:
        sides = np.zeros((min(BLOCK, permutations - len(farther)), len(texts)), np.float32)
        for side in sides:
            side[draw.permutation(len(texts))[: len(window)]] = 1
        farther = np.append(farther, _squared_discrepancies(kernel, sides) >= observed - 1e-9)
    if farther.sum() >= ENOUGH:
        p = ENOUGH / (1 + int(np.flatnonzero(farther)[ENOUGH - 1]))
    else:
        p = (1 + int(farther.sum())) / (1 + permutations)
    return Shift(max(observed, 0.0), p)


def _gaussian_kernel(texts: np.ndarray) -> np.ndarray:
    """exp(-|x - y|^2 / (2 h^2)) with a zero diagonal, [texts, texts]."""
    texts = texts - texts.mean(0)
    squares = (texts**2).sum(1)
    distances = squares[:, None] + squares[None, :] - 2 * (texts @ texts.T)
    bandwidth = 2 * float(squares.mean()) * len(texts) / (len(texts) - 1)  # mean squared distance of two texts
    kernel = np.exp(distances / (-2 * max(bandwidth, 1e-12)))
    np.fill_diagonal(kernel, 0)
    return kernel


def _squared_discrepancies(kernel: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Unbiased squared discrepancies of several assignments to sides.

    Args:
        kernel: [texts, texts], zero on its diagonal
        sides: [assignments, texts], 1 on one side and 0 on the other; all assignments have sides of the same size
    """
    first = int(sides[0].sum())
    second = len(kernel) - first
    rows = kernel.sum(1, dtype=np.float64)
    within = np.einsum("at,at->a", sides @ kernel, sides, dtype=np.float64)  # sum over pairs on the first side
    touching = sides @ rows  # sum over pairs with the first text on the first side
    across, other = touching - within, rows.sum() - 2 * touching + within
    return within / (first * (first - 1)) + other / (second * (second - 1)) - 2 * across / (first * second)
