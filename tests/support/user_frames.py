"""A data frame as a user brings it: columns of any name, integer labels."""

import pandas as pd

from tests.support.tiny_tables import annotated


def reviews(rows: int, seed: int) -> pd.DataFrame:
    """Texts that name their states: `food` and `noise` are read off words, `stars` are integers."""
    table = annotated(rows, seed)
    return pd.DataFrame(
        {
            "review": table["text"],
            "stars": table["label"].astype(int),
            "food": table["concept.food"],
            "noise": table["concept.noise"],
        }
    )
