"""Flipped concept labels, with the confidence and the probabilities that a calibrated annotator would give."""

import numpy as np
import pandas as pd

from sparsecbm.base.concepts import ConceptSet


def flip_labels(frame: pd.DataFrame, concept_set: ConceptSet, rate: float, seed: int) -> pd.DataFrame:
    """Return a copy whose known concept labels are flipped to another state, each with a chance of its own.

    The chance of a cell is uniform between 0 and twice the rate, so that the mean is the rate. Its confidence is one
    minus the chance. Shares of votes move with the label: those of the old state and of the new one change places.
    """
    frame, draw = frame.copy(), np.random.default_rng([seed, 16])
    for concept in concept_set:
        states, column = list(concept.states), f"concept.{concept.name}"
        chance = draw.uniform(0, 2 * rate, len(frame))
        flipped = (draw.random(len(frame)) < chance) & frame[column].notna().to_numpy()
        step = draw.integers(1, len(states), len(frame))
        shares = [f"share.{concept.name}.{state}" for state in states]
        for row in np.flatnonzero(flipped):
            old = frame[column].iat[row]
            new = states[(states.index(old) + step[row]) % len(states)]
            frame.iloc[row, frame.columns.get_loc(column)] = new
            if set(shares) <= set(frame.columns):
                pair = [frame.columns.get_loc(f"share.{concept.name}.{state}") for state in (old, new)]
                frame.iloc[row, pair] = frame.iloc[row, pair[::-1]].tolist()
        frame[f"confidence.{concept.name}"] = 1 - chance
    return frame


def with_soft_shares(frame: pd.DataFrame, concept_set: ConceptSet) -> pd.DataFrame:
    """Return a copy whose shares tell the probability of each state, given the label and its confidence.

    What the label loses by doubt, the other states get in equal parts.
    """
    frame = frame.copy()
    for concept in concept_set:
        shares = [f"share.{concept.name}.{state}" for state in concept.states]
        one_hot = np.array([[cell == state for state in concept.states] for cell in frame[f"concept.{concept.name}"]])
        given = frame[shares].to_numpy(float) if set(shares) <= set(frame.columns) else np.full(one_hot.shape, np.nan)
        given = np.where(np.isnan(given).any(1, keepdims=True), one_hot.astype(float), given)
        doubt = 1 - frame[f"confidence.{concept.name}"].to_numpy()[:, None]
        soft = (1 - doubt) * given + doubt * (1 - given) / (len(shares) - 1)
        known = frame[f"concept.{concept.name}"].notna().to_numpy()[:, None]
        frame[shares] = np.where(known, soft, np.nan)
    return frame
