"""Annotated tables whose concepts and label follow simple rules that a tiny model can learn."""

import random

import pandas as pd

from tests.support.tiny_models import CONCEPTS

FOOD = {"Negative": "the food was bad", "Positive": "the food was good", "unknown": "we came again"}
NOISE = {"loud": "the place was loud", "quiet": "the place was quiet"}


def annotated(rows: int, seed: int) -> pd.DataFrame:
    """Rows whose rating is 3 with good food, 1 with bad food and 2 without; as `annotate` writes them."""
    draw = random.Random(seed)
    table = []
    for i in range(rows):
        food, noise = draw.choice(list(FOOD)), draw.choice(list(NOISE))
        parts = [FOOD[food], NOISE[noise], *draw.choices(["and", "but", "a", "service", "slow", "quick"], k=3)]
        table.append(
            {
                "id": f"{seed}-{i}",
                "text": " ".join(parts),
                "label": {"Negative": "1", "unknown": "2", "Positive": "3"}[food],
                "group": f"{seed}-{i // 2}",
                "concept.food": food,
                "concept.noise": noise,
                "source.food": "human",
                "source.noise": "human",
            }
        )
    assert CONCEPTS.names == ("food", "noise")
    return pd.DataFrame(table)
