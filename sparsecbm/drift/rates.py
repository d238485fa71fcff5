"""Rates of states in new texts: an estimate from probabilities that allows for a model's errors, and a test."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import f as f_distribution

from sparsecbm.drift.shift import LEAST_EXPECTED, Shift

STEPS, PRECISE = 500, 1e-6  # most updates of an estimate, and the change of rates at which it stops
_LEAST_RATE = 1e-12  # of a state that no known text has, since new texts may have it
_SINGULAR = 1e-9  # share of the largest variance, below which a direction does not vary


@dataclass(frozen=True, eq=False)
class Rates:
    """Rates of a variable's states on both sides.

    Attributes:
        reference: [states], mean probabilities
        window: [states], the rates that explain the window's probabilities best, given those of the reference
        shift: effect: total variation distance of both; p-value of equal mean probabilities
    """

    reference: np.ndarray
    window: np.ndarray
    shift: Shift


def compare_rates(reference: np.ndarray, window: np.ndarray) -> Rates:
    """Compare probabilities of states, [texts, states], of two samples."""
    old = reference.mean(0, dtype=np.float64)
    new = estimate_rates(window, old)
    return Rates(old, new, Shift(float(np.abs(old - new).sum() / 2), compare_mean_vectors(reference, window)))


def estimate_rates(probabilities: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Estimate the rates of states, [states], in texts whose states have other rates than a model knows.

    A model that errs shows less of a change than there is. If texts of a state look as they did, its probabilities tell
    the true rates: those of the highest likelihood, found by expectation maximisation (Saerens, Latinne and
    Decaestecker, Neural Computation 2002, equations 2.8 and 2.9).

    Args:
        probabilities: [texts, states]
        known: [states], rates of the texts that the model's probabilities are right for
    """
    rates = known = np.maximum(known, _LEAST_RATE)
    for _ in range(STEPS):
        weighted = probabilities * (rates / known)
        updated = (weighted / weighted.sum(1, keepdims=True)).mean(0)
        if np.abs(updated - rates).max() < PRECISE:
            return updated
        rates = updated
    return rates


def compare_mean_vectors(reference: np.ndarray, window: np.ndarray) -> float:
    """The p-value of Hotelling's two-sample test that both mean probabilities, of [texts, states], are equal.

    It sees more than a test on predicted states, since a text between two states counts for both. States of fewer
    than five expected texts are added together, as in `shift`.
    """
    merged = _merge_rare(reference, window)
    if merged is None:
        return 1.0
    old, new = merged
    texts, sizes = len(old) + len(new), len(old) * len(new) / (len(old) + len(new))
    scatter = [np.atleast_2d(np.cov(side, rowvar=False)) * (len(side) - 1) for side in merged]
    variances, directions = np.linalg.eigh((scatter[0] + scatter[1]) / (texts - 2))
    moves = (new.mean(0) - old.mean(0)) @ directions
    varies = variances > _SINGULAR * max(variances.max(), _SINGULAR)
    number = int(varies.sum())
    if not number:  # all texts of a side are the same
        return float(np.allclose(moves, 0))
    if texts - number - 1 <= 0:
        return 1.0
    statistic = sizes * float((moves[varies] ** 2 / variances[varies]).sum())
    freedom = texts - number - 1
    return float(f_distribution.sf(freedom / (number * (texts - 2)) * statistic, number, freedom))


def _merge_rare(reference: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Both sides without the last state, which the others tell; None if fewer than two states remain."""
    sides = [reference.astype(np.float64), window.astype(np.float64)]
    expected = np.concatenate(sides).mean(0) * min(map(len, sides))
    while len(expected) > 1 and expected.min() < LEAST_EXPECTED:
        order = np.argsort(expected, kind="stable")
        kept = np.sort(order[2:])
        sides = [np.column_stack([side[:, order[:2]].sum(1), side[:, kept]]) for side in sides]
        expected = np.concatenate([[expected[order[:2]].sum()], expected[kept]])
    return (sides[0][:, :-1], sides[1][:, :-1]) if len(expected) > 1 else None
