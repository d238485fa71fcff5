"""Annotated tables whose concepts and label follow simple rules that a tiny model can learn."""

import random

import pandas as pd

from tests.support.tiny_models import CONCEPTS

FOOD = {"Negative": "the food was bad", "Positive": "the food was good", "unknown": "we came again"}
NOISE = {"loud": "the place was loud", "quiet": "the place was quiet"}

# Shares of the states in a training split, in the form stored in a trained model.
SHARES = {
    "label_share": {"1": 0.2, "2": 0.5, "3": 0.3},
    "concept_shares": {
        "food": {"Negative": 0.6, "Positive": 0.3, "unknown": 0.1},
        "noise": {"loud": 0.1, "quiet": 0.9},
    },
}


def annotated(rows: int, seed: int) -> pd.DataFrame:
    """Return rows in the form of `annotate`; the rating is 3 with good food, 1 with bad food and 2 without food."""
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


def with_food_edits(rows: int, seed: int) -> pd.DataFrame:
    """Return originals, each with an edit that replaces only the clause on food."""
    frame = annotated(rows, seed)
    for i in range(1, rows, 2):
        original = frame.loc[i - 1]
        other = next(state for state in FOOD if state != original["concept.food"])
        frame.loc[i, "text"] = original["text"].replace(FOOD[original["concept.food"]], FOOD[other])
        frame.loc[i, ["concept.food", "concept.noise"]] = other, original["concept.noise"]
    return frame.assign(edit_type=[None, "food"] * (rows // 2))
