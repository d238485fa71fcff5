"""What all machines together say about the state of each cell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.annotate.combine import state_probabilities
from sparsecbm.base.concepts import Concept


@dataclass(frozen=True)
class MachineOpinion:
    """The opinion of the machines on one concept.

    Attributes:
        probabilities: [texts, states], the mean of the sources that gave a label; nan where all abstained
        margin: [texts], lead of the likeliest state over the second, 0 to 1; nan where all abstained
        disagreement: [texts], Jensen-Shannon divergence of the sources, as a share of the greatest possible entropy; 0
            with one source
    """

    probabilities: np.ndarray
    margin: np.ndarray
    disagreement: np.ndarray


def machine_opinion(tables: Mapping[str, pd.DataFrame], keys: Sequence[str], concept: Concept) -> MachineOpinion:
    """Combine the labels of all annotators on one concept.

    The Jensen-Shannon divergence is the entropy of the mean less the mean entropy of the sources (Lin, IEEE
    Transactions on Information Theory 1991).

    Args:
        tables: annotator -> its table of labels (see `labels`)
        keys: of the texts
    """
    sources = [source_probabilities(table, keys, concept) for table in tables.values()]
    stacked = np.stack([*sources, np.full((len(keys), len(concept)), np.nan)])  # [sources + 1, texts, states]
    gave = ~np.isnan(stacked[..., 0])
    count = np.where(gave.any(0), gave.sum(0), np.nan)
    mean = np.nansum(stacked, axis=0) / count[:, None]
    ranked = np.sort(mean, -1)
    of_sources = np.where(gave, _entropy(stacked), 0).sum(0) / count
    divergence = np.clip(np.nan_to_num(_entropy(mean) - of_sources), 0, 1)
    return MachineOpinion(mean, ranked[:, -1] - ranked[:, -2], divergence)


def source_probabilities(table: pd.DataFrame, keys: Sequence[str], concept: Concept) -> np.ndarray:
    """The probabilities of one annotator, [texts, states]; nan where it gave no label.

    Where an annotator gives a confidence alone, the other states share the rest. A state without a confidence is
    certain.
    """
    rows = table[(table["concept"] == concept.name) & table["key"].isin(set(keys))].set_index("key")
    given = state_probabilities(rows, concept)
    total = given.sum(axis=1)
    given = given.div(total.where(total > 0), axis=0)
    certain = rows["probabilities"].isna() & rows["state"].isin(concept.states)
    confidence = rows.loc[certain, "confidence"].fillna(1.0)
    for state in concept.states:
        is_state = rows.loc[certain, "state"] == state
        given.loc[certain, state] = confidence.where(is_state, (1 - confidence) / (len(concept) - 1))
    return given.reindex(keys).to_numpy()


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy over the last axis, as a share of the greatest possible one; nan where a probability is nan."""
    logarithms = np.log(np.where(probabilities > 0, probabilities, 1))
    return -(probabilities * logarithms).sum(-1) / math.log(probabilities.shape[-1])


def label_suspicion(probabilities: np.ndarray, states: pd.Series, concept: Concept) -> np.ndarray:
    """By how much machines prefer another state to the one that a person gave, -1 to 1; nan without either, [texts].

    This is the margin of the given label with its sign turned (Northcutt et al., arXiv 1911.00068).

    Args:
        probabilities: [texts, states]
        states: of people, [texts]; null without one
    """
    given = np.array([concept.states.index(state) if state in concept.states else -1 for state in states], dtype=int)
    of_given = np.take_along_axis(probabilities, np.maximum(given, 0)[:, None], 1)[:, 0]
    others = probabilities.copy()
    np.put_along_axis(others, np.maximum(given, 0)[:, None], -np.inf, 1)
    return np.where(given >= 0, others.max(1) - of_given, np.nan)
