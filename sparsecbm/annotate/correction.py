"""Targets for labels that may be wrong: how probable each state is, given the label and a judge of the text.

The judge learnt from labels that err in the same way, but never from those of the text or of its group. So it tells how
probable each *label* is. With p(label | true state), which confident learning estimates (Northcutt, Jiang, Chuang, JAIR
2021, by cleanlab), p(label | text) = sum over true states of p(label | true) p(true | text) gives p(true | text), and
Bayes' rule gives p(true | label, text).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from sparsecbm.annotate.combine import state_probabilities
from sparsecbm.annotate.labels import text_key
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.extras import require

MIN_CELLS = 50  # fewer tell nothing about how labels err
MIN_KAPPA = 0.1  # of the judge with the labels
MIN_KEPT = 0.5  # of the labels, on average
LEAST_PROBABILITY = 1e-3  # of a true state; no judge can rule one out


def corrected_shares(given: np.ndarray, judged: np.ndarray) -> np.ndarray | None:
    """Probabilities of the true states.

    Args:
        given: [cells], indices of the labels
        judged: [cells, states], the judge's probabilities of each label; its rows add up to 1

    Returns:
        [cells, states]; None for fewer than `MIN_CELLS` cells, where no cell has one of the states, for a judge that
        agrees with the labels hardly more than chance (its errors would count as errors of the labels), and where the
        estimate calls most labels wrong (then it is wrong itself, as measured with 40 % flips of rare states)
    """
    states = judged.shape[1]
    if len(given) < MIN_CELLS or len(np.unique(given)) < states:
        return None
    if cohen_kappa_score(given, judged.argmax(axis=1)) < MIN_KAPPA:
        return None
    require("cleanlab")
    from cleanlab.count import compute_confident_joint, estimate_latent

    joint = compute_confident_joint(given, judged)
    _, label_given_true, _ = estimate_latent(joint, given)
    corrected = bayes(given, unmix(judged, label_given_true), label_given_true)
    kept = corrected[np.arange(len(given)), given].mean()
    return corrected if kept >= MIN_KEPT else None


def unmix(judged: np.ndarray, label_given_true: np.ndarray) -> np.ndarray:
    """Probabilities of true states from those of labels, [cells, states]; at least `LEAST_PROBABILITY` each.

    Args:
        judged: [cells, states]
        label_given_true: [labels, true states], columns add up to 1
    """
    true = np.clip(judged @ np.linalg.pinv(label_given_true).T, LEAST_PROBABILITY, None)
    return true / true.sum(axis=1, keepdims=True)


def bayes(given: np.ndarray, true: np.ndarray, label_given_true: np.ndarray) -> np.ndarray:
    """Probabilities of true states after the label is known, [cells, states].

    Args:
        given: [cells], indices of the labels
        true: [cells, states], probabilities before
        label_given_true: [labels, true states]
    """
    joint = label_given_true[given] * true
    return joint / joint.sum(axis=1, keepdims=True)


def correct_targets(frame: pd.DataFrame, judges: Mapping[str, pd.DataFrame], concept_set: ConceptSet) -> pd.DataFrame:
    """A copy whose `share.CONCEPT.STATE` are the probabilities of the true states.

    States stay as they are. Shares stay where there is no label, where the judge gave no probabilities, and in concepts
    with too few labels (see `corrected_shares`).

    Args:
        frame: columns as in `sparsecbm.data.tables`
        judges: concept -> the judge's rows of a table of labels
    """
    keys, changed = frame["text"].map(text_key), {}
    for concept in concept_set:
        table = judges[concept.name]
        judged = state_probabilities(table, concept).set_axis(table["key"], axis=0).reindex(keys).to_numpy()
        given = frame[f"concept.{concept.name}"]
        rows = np.flatnonzero(given.notna().to_numpy() & np.isfinite(judged).all(axis=1))
        labels = given.iloc[rows].map(concept.index).to_numpy(dtype=int)
        corrected = corrected_shares(labels, judged[rows] / judged[rows].sum(axis=1, keepdims=True))
        if corrected is None:
            continue
        for number, state in enumerate(concept.states):
            name = f"share.{concept.name}.{state}"
            share = frame[name].to_numpy(dtype=float, copy=True) if name in frame else np.full(len(frame), np.nan)
            share[rows] = corrected[:, number]
            changed[name] = share
    return frame.assign(**changed)


def count_doubted(frame: pd.DataFrame, concept_set: ConceptSet) -> dict[str, int]:
    """Concept -> labels for which the shares make another state the most probable one."""
    doubted = {}
    for concept in concept_set:
        columns = [f"share.{concept.name}.{state}" for state in concept.states]
        given = frame[f"concept.{concept.name}"]
        known = given.notna() & frame.reindex(columns=columns).notna().all(axis=1)
        best = frame.loc[known].reindex(columns=columns).to_numpy(dtype=float)
        labels = given[known].map(concept.index).to_numpy(dtype=int)
        doubted[concept.name] = int((best.argmax(axis=1) != labels).sum()) if len(labels) else 0
    return doubted
