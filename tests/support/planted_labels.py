"""Labels of machines whose skill is known."""

import numpy as np
import pandas as pd

from sparsecbm.annotate.labels import label_table
from sparsecbm.base.concepts import Concept

FOOD = Concept("food", ("bad", "good"))


def labels(states: list[str | None], confidence: float = 0.9, probabilities: str | None = None) -> pd.DataFrame:
    """Labels of one machine for the texts k000, k001, ..."""
    rows = [
        {"key": f"k{i:03d}", "concept": "food", "state": state, "confidence": state and confidence}
        | {"probabilities": state and probabilities}
        for i, state in enumerate(states)
    ]
    return label_table(rows)


def planted(count: int, skills: dict[str, float]) -> tuple[pd.Series, dict[str, pd.DataFrame]]:
    """True states by key, and labels of machines that are right with these probabilities, each on its own."""
    generator = np.random.default_rng(7)
    truth = generator.integers(0, 2, count)
    tables = {}
    for name, skill in skills.items():
        given = np.where(generator.random(count) < skill, truth, 1 - truth)
        tables[name] = labels([FOOD.states[i] for i in given])
    return pd.Series([FOOD.states[i] for i in truth], [f"k{i:03d}" for i in range(count)]), tables


def accuracy(states: pd.Series, truth: pd.Series) -> float:
    """Share of the keys of `states` with the right one."""
    return float((states == truth[states.index]).mean())
