"""Curves: what the label gains and loses as a person sets one concept after another.

There are two kinds, which are never mixed. In an `OracleCurve` the person knows the annotation, and errs at a given
rate. In an `OwnCurve` every concept is set to the state that the model predicts anyway. Nothing new is known there, so
it shows what the hardening of activations alone does; an oracle's gain is the difference.

How a state is set:

    one_hot   all probability on the state; label head as trained
    typical   the mean prediction of other texts that have the state; label head as trained
    hard      every concept one-hot, edited or not; the head that was fitted on such concepts
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from sparsecbm.base.metrics import MISSING
from sparsecbm.base.progress import progress
from sparsecbm.intervene.edits import edited_logits
from sparsecbm.intervene.experiments.policies import ORACLE_POLICIES, POLICIES, edit_order
from sparsecbm.intervene.reference import Reference
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.prediction import softmax

SETTINGS = {"one_hot": "soft", "typical": "soft", "hard": "hard"}  # how a state is set -> label head
ERRORS = (0.0, 0.1, 0.3, 1.0)  # rates at which a person names a wrong state
SUBSETS = 6  # all subsets are enumerated up to this number of concepts

Answers = dict[str, np.ndarray]  # concept -> [texts], state that the person names, `MISSING` where none


@dataclass(frozen=True)
class Curve:
    """Scores after 0, 1, ... K edits of each text, means over draws.

    Attributes:
        policy: which concept is edited first
        setting: how a state is set
        label, concepts: accuracies
        harmed, fixed: shares of all texts whose label turned from correct to wrong, and from wrong to correct
    """

    policy: str
    setting: str
    label: tuple[float, ...]
    concepts: tuple[float, ...]
    harmed: tuple[float, ...]
    fixed: tuple[float, ...]

    @property
    def area(self) -> float:
        """Mean label accuracy along the curve, by the trapezoidal rule."""
        return float(np.trapezoid(self.label) / (len(self.label) - 1))

    def rows(self) -> Iterator[dict]:
        """Yield one row of the CSV file for each number of edits."""
        for edits, values in enumerate(zip(self.label, self.concepts, self.harmed, self.fixed, strict=True)):
            names = ("label_accuracy", "concept_accuracy", "harmed", "fixed")
            yield {**self.key(), "edits": edits, **dict(zip(names, values, strict=True))}

    def key(self) -> dict:
        """Return what distinguishes this curve from others."""
        return {"policy": self.policy, "setting": self.setting}


@dataclass(frozen=True)
class OracleCurve(Curve):
    """Edits to the annotated state, by a person who errs at a given rate."""

    error: float

    def key(self) -> dict:
        """Return what distinguishes this curve from others."""
        return {**super().key(), "person_error": self.error}


@dataclass(frozen=True)
class OwnCurve(Curve):
    """Edits to the state that the model predicts, which need no annotation."""


def oracle_curves(model: ConceptBottleneck, reference: Reference, seed: int, draws: int = 5) -> list[OracleCurve]:
    """Compute one curve for each policy, setting and error rate.

    Args:
        draws: of random orders and of wrong answers; the curves are means over them
    """
    policies, states = (*POLICIES, *ORACLE_POLICIES), {c.name: len(c) for c in model.concept_set}
    curves = []
    for policy in progress(("random", *policies), "edit concepts", "policy"):
        orders = _draw_orders(policy, model, reference, draws, seed)
        for error in ERRORS:
            # Where neither order nor answers are drawn, every draw is the same.
            draw_count = draws if error or policy == "random" else 1
            drawn = [
                (orders[n], simulate_answers(reference, states, error, np.random.default_rng([seed, 1, n])))
                for n in range(draw_count)
            ]
            curves += [
                OracleCurve(policy, setting, *_compute_curve(model, reference, setting, drawn, seed), error)
                for setting in _available_settings(model)
            ]
    return curves


def own_curves(model: ConceptBottleneck, reference: Reference, seed: int, draws: int = 5) -> list[OwnCurve]:
    """Compute one curve for each setting and each policy that needs no annotation."""
    curves = []
    for policy in ("random", *POLICIES):
        predicted = {name: reference.predicted(name) for name in model.concept_set.names}
        drawn = [(orders, predicted) for orders in _draw_orders(policy, model, reference, draws, seed)]
        drawn = drawn if policy == "random" else drawn[:1]
        curves += [
            OwnCurve(policy, setting, *_compute_curve(model, reference, setting, drawn, seed))
            for setting in _available_settings(model)
        ]
    return curves


def subsets(model: ConceptBottleneck, reference: Reference, seed: int) -> list[dict]:
    """Compute the label accuracy after each subset of concepts is set to annotated states.

    Returns:
        one row for each setting and subset; none for more than `SUBSETS` concepts
    """
    names = model.concept_set.names
    if len(names) > SUBSETS:
        return []
    rows = []
    for setting in _available_settings(model):
        state_logits = _logits_by_state(model, reference, setting, seed)
        for size in range(len(names) + 1):
            for subset in combinations(names, size):
                edited = {name: np.full(len(reference), name in subset) for name in names}
                logits = _apply_answers(reference, state_logits, reference.gold, edited)
                correct = _label_correctness(model, reference, logits, setting)
                row = {"setting": setting, "edits": size, "concepts": " ".join(subset) or "none"}
                rows.append({**row, "label_accuracy": _mean(correct)})
    return rows


def gold_ceiling(reference: Reference) -> float:
    """Return the highest label accuracy of any function of annotated states: a look-up table fitted on these texts."""
    known = np.flatnonzero(reference.label_gold != MISSING)
    table: dict[tuple, list[int]] = {}
    for row in known:
        key = tuple(int(gold[row]) for gold in reference.gold.values())
        table.setdefault(key, []).append(int(reference.label_gold[row]))
    hits = sum(np.bincount(labels).max() for labels in table.values())
    return float(hits / max(len(known), 1))


def simulate_answers(reference: Reference, states: dict[str, int], error: float, rng: np.random.Generator) -> Answers:
    """Simulate a person who knows the annotation, and names a uniformly drawn wrong state at the given rate."""
    answers = {}
    for name, gold in reference.gold.items():
        wrong = (gold + rng.integers(1, states[name], len(gold))) % states[name]
        answers[name] = np.where((rng.random(len(gold)) < error) & (gold != MISSING), wrong, gold)
    return answers


def _draw_orders(
    policy: str, model: ConceptBottleneck, reference: Reference, draws: int, seed: int
) -> list[np.ndarray]:
    """Return the order of each draw; they differ for `random` only."""
    if policy != "random":
        return [edit_order(policy, model, reference, np.random.default_rng(seed))] * draws
    return [edit_order(policy, model, reference, np.random.default_rng([seed, n])) for n in range(draws)]


def _available_settings(model: ConceptBottleneck) -> list[str]:
    return [setting for setting, head in SETTINGS.items() if head == "soft" or model.hard_head is not None]


def _compute_curve(
    model: ConceptBottleneck, reference: Reference, setting: str, drawn: list[tuple[np.ndarray, Answers]], seed: int
) -> tuple[tuple[float, ...], ...]:
    """Return label accuracy, concept accuracy, harmed and fixed, by number of edits, as means over draws."""
    names, state_logits = model.concept_set.names, _logits_by_state(model, reference, setting, seed)
    correct_before = _label_correctness(model, reference, reference.logits, setting)
    known = np.isfinite(correct_before)
    table = np.zeros((len(drawn), 4, len(names) + 1))
    for draw, (orders, answers) in enumerate(drawn):
        rank = np.argsort(orders, axis=1)  # of each concept in the order
        edit_counts = range(len(names) + 1)
        logits_by_count = [
            _apply_answers(reference, state_logits, answers, {name: rank[:, i] < edits for i, name in enumerate(names)})
            for edits in edit_counts
        ]
        stacked = {name: np.concatenate([logits[name] for logits in logits_by_count]) for name in names}
        correct_by_count = _label_correctness(model, reference, stacked, setting).reshape(len(edit_counts), -1)
        for edits, (logits, correct) in enumerate(zip(logits_by_count, correct_by_count, strict=True)):
            concepts_correct = [_correctness(reference.gold[name], logits[name].argmax(-1)) for name in names]
            harmed, fixed = (correct_before == 1) & (correct == 0), (correct_before == 0) & (correct == 1)
            table[draw, :, edits] = (
                _mean(correct), _mean(np.concatenate(concepts_correct)), _mean(harmed[known]), _mean(fixed[known])
            )  # fmt: skip
    return tuple(tuple(round(float(v), 6) for v in row) for row in table.mean(0))


def _logits_by_state(model: ConceptBottleneck, reference: Reference, setting: str, seed: int) -> dict[str, np.ndarray]:
    """Return logits of each text for each state that a concept is set to, [texts, states set to, states]."""
    by_concept = {}
    for name, logits in reference.logits.items():
        states = logits.shape[1]
        one_hot = np.broadcast_to(np.eye(states), (len(logits), states, states))
        targets = _typical_predictions(reference, name, one_hot, seed) if setting == "typical" else one_hot
        by_state = [edited_logits(model, targets[:, state], torch.from_numpy(logits)) for state in range(states)]
        by_concept[name] = torch.stack(by_state, dim=1).numpy()
    return by_concept


def _typical_predictions(reference: Reference, name: str, one_hot: np.ndarray, seed: int) -> np.ndarray:
    """Return the mean prediction of texts of each state, from the half of the groups that a text is not in."""
    typical, predictions, gold = one_hot.copy(), softmax(reference.logits[name]), reference.gold[name]
    first = reference.in_first(0.5, seed)
    for half in (first, ~first):
        for state in range(one_hot.shape[1]):
            others = ~half & (gold == state)
            if others.any():
                typical[half, state] = predictions[others].mean(0)
    return typical


def _apply_answers(
    reference: Reference, state_logits: dict[str, np.ndarray], answers: Answers, edited: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the logits of all concepts, with the answers applied to the edited texts, [texts] bool by concept."""
    applied = {}
    for name, logits in reference.logits.items():
        states = answers[name]
        new_logits = np.take_along_axis(state_logits[name], states.clip(min=0)[:, None, None], axis=1)[:, 0]
        applied[name] = np.where((edited[name] & (states != MISSING))[:, None], new_logits, logits)
    return applied


def _label_correctness(
    model: ConceptBottleneck, reference: Reference, logits: dict[str, np.ndarray], setting: str
) -> np.ndarray:
    """Return 1 where the label is correct, 0 where it is wrong, nan where it is unknown.

    Args:
        logits: of all texts, once or several times in a row, [times * texts, states]

    Returns:
        [times * texts]
    """
    labels = model.label_logits(logits, SETTINGS[setting]).argmax(-1)
    return _correctness(np.tile(reference.label_gold, len(labels) // len(reference)), labels)


def _correctness(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.where(gold == MISSING, np.nan, gold == predicted)


def _mean(values: np.ndarray) -> float:
    return round(float(np.nanmean(values)), 6) if np.isfinite(values).any() else float("nan")
