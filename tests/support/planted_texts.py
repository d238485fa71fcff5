"""Texts whose label depends on two planted aspects and not on a third, with embeddings that show aspect and opinion."""

import numpy as np
import pandas as pd

ASPECTS = {
    "food": ("soup", "pasta", "dessert", "steak"),
    "service": ("waiter", "staff", "hostess", "manager"),
    "weather": ("rain", "sunshine", "clouds", "thunder"),  # it does not touch the label
}
OPINIONS = {-1: "was awful", 1: "was lovely"}
WIDTH = 16


def planted_frame(texts: int = 400, seed: int = 0) -> pd.DataFrame:
    """Return texts of one clause for each aspect that they mention; the label is `bad` or `good`.

    The label is the sign of the opinions on food and service, with 5 % of the labels flipped. Two texts share a group.
    """
    draw = np.random.default_rng(seed)
    rows = []
    while len(rows) < texts:
        opinions = {name: int(draw.choice((-1, 1))) for name in ASPECTS if draw.random() < 0.6}
        total = opinions.get("food", 0) + opinions.get("service", 0)
        if not opinions or total == 0:
            continue
        good = (total > 0) != (draw.random() < 0.05)
        clauses = [f"The {draw.choice(ASPECTS[name])} {OPINIONS[side]}." for name, side in opinions.items()]
        states = {f"gold.{name}": opinions.get(name, 0) for name in ASPECTS}
        rows.append({"text": " ".join(clauses), "label": "good" if good else "bad", **states})
    frame = pd.DataFrame(rows)
    return frame.assign(group=[f"g{i // 2}" for i in range(len(frame))])


def planted_encoder(texts) -> np.ndarray:
    """Return vectors of unit length: a direction for each aspect, one for the opinion, and a little noise."""
    draw = np.random.default_rng(1)
    noise = {word: draw.normal(0, 0.05, WIDTH) for words in ASPECTS.values() for word in words}
    vectors = np.zeros((len(texts), WIDTH))
    for i, text in enumerate(texts):
        for number, words in enumerate(ASPECTS.values()):
            for word in words:
                if word in text:
                    vectors[i, number] += 1
                    vectors[i] += noise[word]
        vectors[i, 3] += 0.6 * (("lovely" in text) - ("awful" in text))
        vectors[i, 4] += 0.3
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
