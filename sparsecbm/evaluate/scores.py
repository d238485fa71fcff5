"""The scores of one split, as `metrics/evaluate.json` and `sparsecbm evaluate` hold them.

The form is published as JSON Schema (`schemas/evaluate.schema.json`), made from the classes below.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from sparsecbm.evaluate.bag_of_words import BagOfWords, fit_bag_of_words
from sparsecbm.evaluate.readings import Readings, Variable, read
from sparsecbm.metrics import MISSING, Resampled, expected_calibration_error, interval, resample
from sparsecbm.model.cbm import SparseCBM, softmax
from sparsecbm.params import Evaluate
from sparsecbm.train.label_head import fit_label_head


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Score(_Form):
    """Scores of the label or of one concept; intervals are 95 %, by bootstrap over clusters."""

    texts: int = Field(description="texts whose gold state is known")
    accuracy: float | None
    accuracy_interval: list[float | None]
    macro_f1: float | None = Field(description="mean F1 over the states that occur")
    macro_f1_interval: list[float | None]
    macro_f1_ovr: float | None = Field(description="the published papers' macro-F1; for comparing with them only")
    majority: float | None = Field(description="accuracy of always answering the training split's commonest state")
    calibration_error: float | None = Field(description="expected calibration error")
    confusion: list[list[int]] | None = Field(default=None, description="counts[gold][read], in the order of states")
    states: list[str] | None = None


class Difference(_Form):
    """A paired difference of two accuracies on the same texts."""

    accuracy: float | None
    interval: list[float | None]


class Baseline(_Form):
    """Bag of words: its accuracies, and the model's lead over it (paired; concepts clustered by clause)."""

    label: float | None
    label_lead: Difference
    concepts: dict[str, float | None]
    concepts_lead: dict[str, Difference]


class SplitScores(_Form):
    """All scores of a model on one split."""

    split: str
    texts: int
    label: Score
    label_hard: Score | None = Field(description="the label from one-hot concepts, label head as trained")
    label_hard_refitted: Score | None = Field(description="the same, label head fitted on one-hot training concepts")
    leakage: Difference | None = Field(description="label.accuracy - label_hard.accuracy")
    leakage_refitted: Difference | None = Field(description="label.accuracy - label_hard_refitted.accuracy")
    concepts: dict[str, Score] = Field(description="by concept, and `mean` over them")
    concepts_annotated: dict[str, Score] = Field(
        description="the same on cells that somebody annotated; empty cells read as `unknown` are left out"
    )
    bag_of_words: Baseline | None


class EvaluationFile(SplitScores):
    """`metrics/evaluate.json`: the scores of the split that counts most, and of the others under `splits`."""

    splits: dict[str, SplitScores]


@dataclass(frozen=True)
class Fitted:
    """What a model is compared with, fitted once on its training split."""

    words: BagOfWords
    hard_head: tuple[np.ndarray, np.ndarray] | None  # V, [classes, sum of states], and b, on one-hot concepts


def fit_references(model: SparseCBM, training: pd.DataFrame) -> Fitted:
    """Fit the bag of words, and a label head on the concepts that the model reads, as one-hot vectors."""
    words = fit_bag_of_words(training, model.concept_set)
    if not model.has_bottleneck:
        return Fitted(words, None)
    readings = read(model, training)
    known = readings.label.gold != MISSING
    head = fit_label_head(readings.hard[known], readings.label.gold[known], len(readings.label.states))
    return Fitted(words, head)


def score_split(
    model: SparseCBM, frame: pd.DataFrame, split: str, params: Evaluate, seed: int, fitted: Fitted | None
) -> SplitScores:
    """Score a model on an annotated table.

    Args:
        fitted: from `fit_references`; without it the bag of words and the refitted label head are left out
    """
    readings = read(model, frame)
    shares = model.means

    def resampled(variable: Variable, keep: np.ndarray | None = None) -> Resampled:
        gold = variable.gold if keep is None else np.where(keep, variable.gold, MISSING)
        return resample(gold, variable.read, len(variable.states), variable.clusters, params.bootstrap, seed)

    def scored(variable: Variable, share: dict[str, float], keep: np.ndarray | None = None) -> Score:
        return _score(variable, resampled(variable, keep), share, params.calibration_bins, keep)

    label = scored(readings.label, shares["label_share"])
    draws = resampled(readings.label)
    hard = refitted = leakage = leakage_refitted = None
    concepts: dict[str, Score] = {}
    annotated: dict[str, Score] = {}
    if model.has_bottleneck:
        as_trained = _with(readings.label, readings.label_hard)
        hard = scored(as_trained, shares["label_share"])
        leakage = _difference(draws, resampled(as_trained))
        if fitted is not None:
            weight, bias = fitted.hard_head
            with_fitted = _with(readings.label, softmax(readings.hard @ weight.T + bias))
            refitted = scored(with_fitted, shares["label_share"])
            leakage_refitted = _difference(draws, resampled(with_fitted))
        concepts = {name: scored(v, shares["concept_shares"][name]) for name, v in readings.concepts.items()}
        concepts["mean"] = _mean(concepts, [resampled(v) for v in readings.concepts.values()])
        if any(not keep.all() for keep in readings.annotated.values()):
            kept = {name: (v, readings.annotated[name]) for name, v in readings.concepts.items()}
            annotated = {n: scored(v, shares["concept_shares"][n], keep) for n, (v, keep) in kept.items()}
            annotated["mean"] = _mean(annotated, [resampled(v, keep) for v, keep in kept.values()])
    baseline = None if fitted is None else _baseline(fitted.words, readings, frame, resampled)
    return SplitScores(
        split=split,
        texts=len(frame),
        label=label,
        label_hard=hard,
        label_hard_refitted=refitted,
        leakage=leakage,
        leakage_refitted=leakage_refitted,
        concepts=concepts,
        concepts_annotated=annotated,
        bag_of_words=baseline,
    )


def _with(variable: Variable, probabilities: np.ndarray) -> Variable:
    return Variable(variable.states, variable.gold, probabilities, variable.clusters)


def _score(variable: Variable, drawn: Resampled, share: dict[str, float], bins: int, keep: np.ndarray | None) -> Score:
    gold = variable.gold if keep is None else np.where(keep, variable.gold, MISSING)
    commonest = variable.states.index(max(variable.states, key=lambda state: share[state]))
    total = drawn.counts.sum()
    return Score(
        texts=int(total),
        accuracy=_number(drawn.value("accuracy")),
        accuracy_interval=_numbers(drawn.interval("accuracy")),
        macro_f1=_number(drawn.value("macro_f1")),
        macro_f1_interval=_numbers(drawn.interval("macro_f1")),
        macro_f1_ovr=_number(drawn.value("macro_f1_ovr")),
        majority=_number(drawn.counts[commonest].sum() / total) if total else None,
        calibration_error=_number(expected_calibration_error(variable.probabilities, gold, bins)),
        confusion=drawn.counts.tolist(),
        states=list(variable.states),
    )


def _mean(scores: dict[str, Score], drawn: list[Resampled]) -> Score:
    """Mean over the concepts. Concepts that share their clusters are drawn together, others apart."""

    def mean(key: str) -> float | None:
        values = [getattr(score, key) for score in scores.values()]
        return None if any(value is None for value in values) else _number(float(np.mean(values)))

    intervals = {
        f"{key}_interval": _numbers(interval(np.mean([d.draws[key] for d in drawn], axis=0)))
        for key in ("accuracy", "macro_f1")
    }
    keys = ("accuracy", "macro_f1", "macro_f1_ovr", "majority", "calibration_error")
    return Score(texts=sum(s.texts for s in scores.values()), **{key: mean(key) for key in keys}, **intervals)


def _difference(first: Resampled, second: Resampled) -> Difference:
    return Difference(
        accuracy=_number(first.value("accuracy") - second.value("accuracy")),
        interval=_numbers(interval(first.draws["accuracy"] - second.draws["accuracy"])),
    )


def _baseline(
    fitted: BagOfWords, readings: Readings, frame: pd.DataFrame, resampled: Callable[[Variable], Resampled]
) -> Baseline:
    words = fitted.read(frame["text"])

    def as_variable(variable: Variable, classes: np.ndarray) -> Variable:
        return _with(variable, np.eye(len(variable.states))[classes])

    label, label_words = resampled(readings.label), resampled(as_variable(readings.label, words["label"]))
    pairs = {n: (resampled(v), resampled(as_variable(v, words[n]))) for n, v in readings.concepts.items()}
    concepts = {name: _number(second.value("accuracy")) for name, (_, second) in pairs.items()}
    lead = {name: _difference(*pair) for name, pair in pairs.items()}
    if pairs:
        drawn = np.mean([a.draws["accuracy"] - b.draws["accuracy"] for a, b in pairs.values()], axis=0)
        gap = float(np.mean([a.value("accuracy") - b.value("accuracy") for a, b in pairs.values()]))
        concepts["mean"] = _number(float(np.mean([b.value("accuracy") for _, b in pairs.values()])))
        lead["mean"] = Difference(accuracy=_number(gap), interval=_numbers(interval(drawn)))
    return Baseline(
        label=_number(label_words.value("accuracy")),
        label_lead=_difference(label, label_words),
        concepts=concepts,
        concepts_lead=lead,
    )


def _number(value: float) -> float | None:
    """Six decimals, and null for what is not defined."""
    return round(float(value), 6) if np.isfinite(value) else None


def _numbers(values: list[float]) -> list[float | None]:
    return [_number(value) for value in values]
