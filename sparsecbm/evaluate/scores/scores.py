"""The scores of one split, as `metrics/evaluate.json` and `sparsecbm evaluate` hold them.

The JSON Schema `evaluate.schema.json` is made from the classes below.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pydantic import Field

from sparsecbm.base.form import Form
from sparsecbm.base.metrics import MISSING, Resampled, expected_calibration_error, interval, resample
from sparsecbm.base.numbers import Number
from sparsecbm.base.params import Evaluate
from sparsecbm.evaluate.causal.causal_truth import CausalScores
from sparsecbm.evaluate.scores.bag_of_words import BagOfWords
from sparsecbm.evaluate.scores.subgroup_scores import SubgroupScores
from sparsecbm.evaluate.variables import SplitPredictions, VariablePredictions, predict_split
from sparsecbm.model.cbm import ConceptBottleneck, Logits


class Score(Form):
    """Scores of the label or of one concept; intervals are 95 %, by bootstrap over clusters."""

    texts: int = Field(description="texts whose gold state is known")
    accuracy: Number
    accuracy_interval: list[Number]
    macro_f1: Number = Field(description="mean F1 over the states that occur")
    macro_f1_interval: list[Number]
    macro_f1_ovr: Number = Field(description="the published papers' macro-F1; for comparing with them only")
    majority: Number = Field(description="accuracy of always answering the training split's commonest state")
    calibration_error: Number = Field(description="expected calibration error")
    confusion: list[list[int]] | None = Field(
        default=None, description="counts[gold][predicted], in the order of states"
    )
    states: list[str] | None = None


class Difference(Form):
    """A paired difference of two accuracies on the same texts."""

    accuracy: Number
    interval: list[Number]


class Baseline(Form):
    """Bag of words: its accuracies, and the model's lead over it (paired; concepts clustered by clause)."""

    label: Number
    label_lead: Difference
    concepts: dict[str, Number]
    concepts_lead: dict[str, Difference]


class SplitScores(Form):
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
        description="the same on cells that somebody annotated; empty cells that became `unknown` are left out"
    )
    bag_of_words: Baseline | None


class EvaluationFile(SplitScores):
    """`metrics/evaluate.json`: the scores of the split that counts most, and of the others under `splits`."""

    unmeasured: dict[str, str] = Field(
        description="concept -> why its scores say little: people labelled too few texts"
    )
    splits: dict[str, SplitScores]
    subgroups: dict[str, dict[str, SubgroupScores]] = Field(
        description="column of `evaluate.subgroups` -> subgroup -> its scores on the first split"
    )
    dense: SplitScores = Field(description="the dense model that masks were found for, on the first split")
    causal: CausalScores | None = Field(description="ICaCE errors on the first split; null without pairs")


@dataclass(frozen=True, eq=False)
class ScoredTable:
    """An annotated table that a model is scored on.

    Attributes:
        split: its name
        logits: of its texts, if they are known already
    """

    split: str
    frame: pd.DataFrame
    logits: Logits | None = None


def score_split(
    model: ConceptBottleneck, table: ScoredTable, params: Evaluate, seed: int, words: BagOfWords | None = None
) -> SplitScores:
    """Score a model on an annotated table.

    Args:
        seed: of the resamples
        words: the baseline, from `fit_bag_of_words` on the training split; None leaves it out
    """
    predictions = predict_split(model, table.frame, table.logits)
    shares = model.means

    def resampled(variable: VariablePredictions) -> Resampled:
        states, predicted = len(variable.states), variable.predicted
        return resample(variable.gold, predicted, states, variable.clusters, params.bootstrap, seed)

    def scored(variable: VariablePredictions, drawn: Resampled, share: dict[str, float]) -> Score:
        return _score(variable, drawn, share, params.calibration_bins)

    def from_hard(probabilities: np.ndarray | None) -> tuple[Score | None, Difference | None]:
        if probabilities is None:
            return None, None
        variable = replace(predictions.label, probabilities=probabilities)
        drawn = resampled(variable)
        return scored(variable, drawn, shares["label_share"]), _difference(label, drawn)

    def of_concepts(variables: dict[str, VariablePredictions], drawn: dict[str, Resampled]) -> dict[str, Score]:
        scores = {name: scored(v, drawn[name], shares["concept_shares"][name]) for name, v in variables.items()}
        return scores | {"mean": _mean(scores, list(drawn.values()))} if scores else {}

    label = resampled(predictions.label)
    concepts = {name: resampled(variable) for name, variable in predictions.concepts.items()}
    annotated: dict[str, VariablePredictions] = {}
    if any(not keep.all() for keep in predictions.annotated.values()):
        annotated = {name: _only(v, predictions.annotated[name]) for name, v in predictions.concepts.items()}
    hard, leakage = from_hard(predictions.label_hard)
    refitted, leakage_refitted = from_hard(predictions.label_hard_refitted)
    baseline = words and _baseline(words.predict(table.frame["text"]), predictions, label, concepts, resampled)
    return SplitScores(
        split=table.split,
        texts=len(table.frame),
        label=scored(predictions.label, label, shares["label_share"]),
        label_hard=hard,
        label_hard_refitted=refitted,
        leakage=leakage,
        leakage_refitted=leakage_refitted,
        concepts=of_concepts(predictions.concepts, concepts),
        concepts_annotated=of_concepts(annotated, {name: resampled(v) for name, v in annotated.items()}),
        bag_of_words=baseline,
    )


def _only(variable: VariablePredictions, keep: np.ndarray) -> VariablePredictions:
    """The same variable, with the gold states of the texts in `keep` only."""
    return replace(variable, gold=np.where(keep, variable.gold, MISSING))


def _score(variable: VariablePredictions, drawn: Resampled, share: dict[str, float], bins: int) -> Score:
    commonest = variable.states.index(max(variable.states, key=lambda state: share[state]))
    total = drawn.counts.sum()
    return Score(
        texts=int(total),
        accuracy=drawn.value("accuracy"),
        accuracy_interval=drawn.interval("accuracy"),
        macro_f1=drawn.value("macro_f1"),
        macro_f1_interval=drawn.interval("macro_f1"),
        macro_f1_ovr=drawn.value("macro_f1_ovr"),
        majority=drawn.counts[commonest].sum() / total if total else None,
        calibration_error=expected_calibration_error(variable.probabilities, variable.gold, bins),
        confusion=drawn.counts.tolist(),
        states=list(variable.states),
    )


def _mean(scores: dict[str, Score], drawn: list[Resampled]) -> Score:
    """The mean over the concepts. Concepts with equal clusters share their resamples."""

    def mean(key: str) -> float | None:
        values = [getattr(score, key) for score in scores.values()]
        return None if any(value is None for value in values) else float(np.mean(values))

    intervals = {
        f"{key}_interval": interval(np.mean([d.draws[key] for d in drawn], axis=0)) for key in ("accuracy", "macro_f1")
    }
    keys = ("accuracy", "macro_f1", "macro_f1_ovr", "majority", "calibration_error")
    return Score(texts=sum(s.texts for s in scores.values()), **{key: mean(key) for key in keys}, **intervals)


def _difference(first: Resampled, second: Resampled) -> Difference:
    return Difference(
        accuracy=first.value("accuracy") - second.value("accuracy"),
        interval=interval(first.draws["accuracy"] - second.draws["accuracy"]),
    )


def _baseline(
    words: dict[str, np.ndarray],
    predictions: SplitPredictions,
    label: Resampled,
    concepts: dict[str, Resampled],
    resampled: Callable[[VariablePredictions], Resampled],
) -> Baseline:
    """Scores of the bag of words, paired with the model's resamples.

    Args:
        words: predicted class indices by variable, [texts] each
        label, concepts: the model's resamples
    """

    def of_words(name: str, variable: VariablePredictions) -> Resampled:
        return resampled(replace(variable, probabilities=np.eye(len(variable.states))[words[name]]))

    label_words = of_words("label", predictions.label)
    pairs = {name: (concepts[name], of_words(name, variable)) for name, variable in predictions.concepts.items()}
    accuracies = {name: second.value("accuracy") for name, (_, second) in pairs.items()}
    lead = {name: _difference(*pair) for name, pair in pairs.items()}
    if pairs:
        drawn = np.mean([a.draws["accuracy"] - b.draws["accuracy"] for a, b in pairs.values()], axis=0)
        gap = float(np.mean([a.value("accuracy") - b.value("accuracy") for a, b in pairs.values()]))
        accuracies["mean"] = float(np.mean([b.value("accuracy") for _, b in pairs.values()]))
        lead["mean"] = Difference(accuracy=gap, interval=interval(drawn))
    return Baseline(
        label=label_words.value("accuracy"),
        label_lead=_difference(label, label_words),
        concepts=accuracies,
        concepts_lead=lead,
    )
