"""Results as data frames."""

from collections.abc import Sequence

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.evaluate.evidence import Evidence
from sparsecbm.evaluate.scores.scores import Score, SplitScores
from sparsecbm.model.prediction import Prediction

PLAIN_STATES = "label from plain states"


def prediction_table(predictions: Sequence[Prediction], concept_set: ConceptSet) -> pd.DataFrame:
    """A row for each text: `text`, then for the label and each concept the state, and `NAME_probability`."""
    names = (concept_set.label.name, *(predictions[0].concepts if predictions else ()))
    rows = [
        {"text": prediction.text}
        | {
            column: value
            for name, state in zip(names, (prediction.label, *prediction.concepts.values()), strict=True)
            for column, value in ((name, state.state), (f"{name}_probability", state.confidence))
        }
        for prediction in predictions
    ]
    columns = ["text", *(column for name in names for column in (name, f"{name}_probability"))]
    return pd.DataFrame(rows, columns=columns)


def score_table(scores: SplitScores) -> pd.DataFrame:
    """A row for the label, for the label from plain states, for each concept, and for the mean of the concepts."""
    rows = {"label": scores.label}
    if scores.label_hard_refitted is not None:
        rows[PLAIN_STATES] = scores.label_hard_refitted
    rows |= scores.concepts
    return pd.DataFrame.from_dict({name: _cells(score) for name, score in rows.items()}, orient="index")


def square_table(evidence: Evidence) -> pd.DataFrame:
    """Accuracies by concept (rows) and by whose mask is used (columns)."""
    table = pd.DataFrame(evidence.cells(), index=list(evidence.concepts), columns=list(evidence.concepts))
    return table.rename_axis(index="concept", columns="mask of")


def _cells(score: Score) -> dict[str, float | int | None]:
    low, high = score.accuracy_interval
    return {
        "texts": score.texts,
        "accuracy": score.accuracy,
        "low": low,
        "high": high,
        "macro_f1": score.macro_f1,
        "majority": score.majority,
        "calibration_error": score.calibration_error,
    }
