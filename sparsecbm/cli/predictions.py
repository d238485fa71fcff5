"""The output of `sparsecbm predict`: one JSON line for each text."""

import json
from collections.abc import Iterator

from sparsecbm.api import SparseCBM

CHUNK = 512  # texts that are predicted before the first of them is printed


def prediction_lines(model: SparseCBM, texts: list[str]) -> Iterator[str]:
    """One JSON line for each text, in order; `sparsecbm/schemas/predict.schema.json` describes it."""
    for start in range(0, len(texts), CHUNK):
        for prediction in model.predict(texts[start : start + CHUNK]):
            yield json.dumps(prediction.to_dict(), ensure_ascii=False)
