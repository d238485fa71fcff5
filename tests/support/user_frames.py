"""A data frame of a user: columns of any name, integer labels."""

import pandas as pd

from tests.support.tiny_tables import annotated


def reviews(rows: int, seed: int) -> pd.DataFrame:
    """Return texts whose words give the states of `food` and `noise`; `stars` are integers."""
    table = annotated(rows, seed)
    return pd.DataFrame(
        {
            "review": table["text"],
            "stars": table["label"].astype(int),
            "food": table["concept.food"],
            "noise": table["concept.noise"],
        }
    )
