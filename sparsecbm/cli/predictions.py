"""What `sparsecbm predict` predicts, and its line of JSON for each text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, get_args

from sparsecbm.base.collector import collector_paused
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.outputs import EXPORT
from sparsecbm.model.prediction import Prediction

CHUNK = 512  # texts that are predicted before the first of them is shown


class Predictor(Protocol):
    """A model, or an exported one."""

    concept_set: ConceptSet

    def predict(self, texts: list[str], /) -> list[Prediction]:
        """Label and concepts of each text."""

    def too_long(self, text: str, /) -> bool:
        """Whether the model reads only a part of a text."""


def load_predictor(folder: Path, precision: str, texts: int) -> Predictor:
    """Load a model, or an exported one, so that it predicts that many texts fast.

    Raises:
        ConfigError: unknown precision; names the choices. Or the model is an exported one, whose precision is fixed.
        ModelError: the folder is missing, incomplete or altered.
    """
    if (folder / EXPORT).is_file():
        from sparsecbm.export.runner import ExportedModel

        if precision != "auto":
            raise ConfigError(f"--precision: {folder} is an exported model, whose precision is fixed; leave it out")
        return ExportedModel.from_pretrained(folder)
    with collector_paused():
        from sparsecbm.model.execution import Execution, Precision, prediction_copy
        from sparsecbm.model.storage import load

    if precision not in get_args(Precision):
        raise ConfigError(f"--precision: {unknown('precision', precision, get_args(Precision))}")
    with collector_paused():
        return prediction_copy(load(folder), Execution(precision=precision), texts)


def predictions(model: Predictor, texts: list[str]) -> Iterator[Prediction]:
    """The prediction for each text, in order."""
    for start in range(0, len(texts), CHUNK):
        yield from model.predict(texts[start : start + CHUNK])


def unread_texts(model: Predictor, texts: list[str]) -> list[str]:
    """One line on the texts without words, and one on those of which the model reads only a part; none without such."""
    empty = sum(not text.strip() for text in texts)
    cut = sum(model.too_long(text) for text in texts)
    lines = []
    if empty:
        lines.append(f"{empty} of {len(texts)} text(s) without words: the prediction is that of an empty text")
    if cut:
        lines.append(
            f"{cut} of {len(texts)} text(s) longer than the model reads: the rest was cut off, and `sparsecbm explain` "
            "shows where"
        )
    return lines


def json_line(prediction: Prediction) -> str:
    """A prediction as one line of JSON, which `sparsecbm/schemas/predict.schema.json` describes."""
    return json.dumps(prediction.to_dict(), ensure_ascii=False)
