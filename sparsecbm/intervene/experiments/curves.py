"""What the label gains as a person sets one concept after another, and what it loses.

Two kinds that are never mixed: in an `OracleCurve` the person knows the annotation (and errs as often as is said); in
an `OwnCurve` every concept is set to what the model reads most anyway. Nothing is learnt from the latter, so it shows
what mere hardening of activations does, and an oracle's gain is what it has beyond that.

How a state is set:

    one_hot   all on the state; label head as trained
    typical   the mean reading of other texts that have the state; label head as trained
    hard      every concept one-hot, edited or not; the head that was fitted on such concepts
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from sparsecbm.base.metrics import MISSING
from sparsecbm.intervene.edits import edited_logits, label_logits
from sparsecbm.intervene.experiments.policies import ORACLE_POLICIES, POLICIES, order
from sparsecbm.intervene.reference import Reference
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.prediction import softmax

SETTINGS = {"one_hot": "soft", "typical": "soft", "hard": "hard"}  # how a state is set -> label head
ERRORS = (0.0, 0.1, 0.3, 1.0)  # how often a person names a wrong state
SUBSETS = 6  # concepts up to which all subsets are enumerated

Answers = dict[str, np.ndarray]  # concept -> [texts], state that the person names, `MISSING` where none


@dataclass(frozen=True)
class Curve:
    """Scores after 0, 1, ... K edits a text, means over draws.

    Attributes:
        policy: who is edited first
        setting: how a state is set
        label, concepts: accuracies
        harmed, fixed: shares of all texts whose label was right and is wrong now, and the other way round
    """

    policy: str
    setting: str
    label: tuple[float, ...]
    concepts: tuple[float, ...]
    harmed: tuple[float, ...]
    fixed: tuple[float, ...]

    @property
    def area(self) -> float:
        """Mean label accuracy along the curve, by trapezoids."""
        return float(np.trapezoid(self.label) / (len(self.label) - 1))

    def rows(self) -> Iterator[dict]:
        """One row a number of edits, as the CSV file holds them."""
        for edits, values in enumerate(zip(self.label, self.concepts, self.harmed, self.fixed, strict=True)):
            names = ("label_accuracy", "concept_accuracy", "harmed", "fixed")
            yield {**self.key(), "edits": edits, **dict(zip(names, values, strict=True))}

    def key(self) -> dict:
        """What tells this curve from others."""
        return {"policy": self.policy, "setting": self.setting}


@dataclass(frozen=True)
class OracleCurve(Curve):
    """Edits to the annotated state, by a person who errs in a share of them."""

    error: float

    def key(self) -> dict:
        """What tells this curve from others."""
        return {**super().key(), "person_error": self.error}


@dataclass(frozen=True)
class OwnCurve(Curve):
    """Edits to the state that the model reads, which needs no annotation and brings none."""


def oracle_curves(model: ConceptBottleneck, reference: Reference, seed: int, draws: int = 5) -> list[OracleCurve]:
    """One curve a policy, setting and error rate.

    Args:
        draws: of random orders and of wrong answers; the curves are means
    """
    names, states = (*POLICIES, *ORACLE_POLICIES), {c.name: len(c) for c in model.concept_set}
    found = []
    for policy in ("random", *names):
        orders = _orders(policy, model, reference, draws, seed)
        for error in ERRORS:
            # Where neither order nor answers are drawn, every draw is the same.
            numbers = range(draws if error or policy == "random" else 1)
            drawn = [
                (orders[n], answers(reference, states, error, np.random.default_rng([seed, 1, n]))) for n in numbers
            ]
            found += [
                OracleCurve(policy, setting, *_curve(model, reference, setting, drawn, seed), error)
                for setting in _settings(model)
            ]
    return found


def own_curves(model: ConceptBottleneck, reference: Reference, seed: int, draws: int = 5) -> list[OwnCurve]:
    """One curve a policy that needs no annotation, and setting."""
    found = []
    for policy in ("random", *POLICIES):
        read = {name: reference.read(name) for name in model.concept_set.names}
        drawn = [(orders, read) for orders in _orders(policy, model, reference, draws, seed)]
        drawn = drawn if policy == "random" else drawn[:1]
        found += [
            OwnCurve(policy, setting, *_curve(model, reference, setting, drawn, seed)) for setting in _settings(model)
        ]
    return found


def subsets(model: ConceptBottleneck, reference: Reference, seed: int) -> list[dict]:
    """Label accuracy after the concepts of each subset were set to their annotated states; empty above `SUBSETS`."""
    names = model.concept_set.names
    if len(names) > SUBSETS:
        return []
    rows = []
    for setting in _settings(model):
        given = _set_logits(model, reference, setting, seed)
        for size in range(len(names) + 1):
            for chosen in combinations(names, size):
                where = {name: np.full(len(reference), name in chosen) for name in names}
                right = _label_right(model, reference, _apply(reference, given, reference.gold, where), setting)
                row = {"setting": setting, "edits": size, "concepts": " ".join(chosen) or "none"}
                rows.append({**row, "label_accuracy": _mean(right)})
    return rows


def gold_ceiling(reference: Reference) -> float:
    """The most that any function of annotated states could score on these very texts: a look-up fitted on them."""
    known = np.flatnonzero(reference.label_gold != MISSING)
    table: dict[tuple, list[int]] = {}
    for row in known:
        key = tuple(int(gold[row]) for gold in reference.gold.values())
        table.setdefault(key, []).append(int(reference.label_gold[row]))
    hits = sum(np.bincount(labels).max() for labels in table.values())
    return float(hits / max(len(known), 1))


def answers(reference: Reference, states: dict[str, int], error: float, draw: np.random.Generator) -> Answers:
    """What a person who knows the annotation says, who names a wrong state, drawn evenly, in a share of cases."""
    found = {}
    for name, gold in reference.gold.items():
        other = (gold + draw.integers(1, states[name], len(gold))) % states[name]
        found[name] = np.where((draw.random(len(gold)) < error) & (gold != MISSING), other, gold)
    return found


def _orders(policy: str, model: ConceptBottleneck, reference: Reference, draws: int, seed: int) -> list[np.ndarray]:
    """The order of each draw; only `random` draws."""
    if policy != "random":
        return [order(policy, model, reference, np.random.default_rng(seed))] * draws
    return [order(policy, model, reference, np.random.default_rng([seed, n])) for n in range(draws)]


def _settings(model: ConceptBottleneck) -> list[str]:
    return [setting for setting, head in SETTINGS.items() if head == "soft" or model.hard_head is not None]


def _curve(
    model: ConceptBottleneck, reference: Reference, setting: str, drawn: list[tuple[np.ndarray, Answers]], seed: int
) -> tuple[tuple[float, ...], ...]:
    """Label accuracy, concept accuracy, harmed and fixed, by number of edits, as means over draws."""
    names, given = model.concept_set.names, _set_logits(model, reference, setting, seed)
    first = _label_right(model, reference, reference.logits, setting)
    table = np.zeros((len(drawn), 4, len(names) + 1))
    for number, (orders, said) in enumerate(drawn):
        place = np.argsort(orders, axis=1)  # of each concept in the order
        counts = range(len(names) + 1)
        after = [
            _apply(reference, given, said, {name: place[:, i] < edits for i, name in enumerate(names)})
            for edits in counts
        ]
        together = {name: np.concatenate([logits[name] for logits in after]) for name in names}
        rights = _label_right(model, reference, together, setting).reshape(len(counts), -1)
        for edits, (logits, right) in enumerate(zip(after, rights, strict=True)):
            read = [_known(reference.gold[name], logits[name].argmax(-1)) for name in names]
            harmed, fixed = (first == 1) & (right == 0), (first == 0) & (right == 1)
            known = np.isfinite(first)
            table[number, :, edits] = (
                _mean(right), _mean(np.concatenate(read)), _mean(harmed[known]), _mean(fixed[known])
            )  # fmt: skip
    return tuple(tuple(round(float(v), 6) for v in row) for row in table.mean(0))


def _set_logits(model: ConceptBottleneck, reference: Reference, setting: str, seed: int) -> dict[str, np.ndarray]:
    """Logits of each text if a concept is set to each state, [texts, states that it is set to, states]."""
    found = {}
    for name, read in reference.logits.items():
        certain = np.broadcast_to(np.eye(read.shape[1]), (len(read), read.shape[1], read.shape[1]))
        given = _typical(reference, name, certain, seed) if setting == "typical" else certain
        each = [edited_logits(model, given[:, state], torch.from_numpy(read)) for state in range(read.shape[1])]
        found[name] = torch.stack(each, dim=1).numpy()
    return found


def _typical(reference: Reference, name: str, certain: np.ndarray, seed: int) -> np.ndarray:
    """The mean reading of texts of each state, taken from the half of the groups that the text is not in."""
    found, read, gold = certain.copy(), softmax(reference.logits[name]), reference.gold[name]
    first = reference.in_first(0.5, seed)
    for half in (first, ~first):
        for state in range(certain.shape[1]):
            others = ~half & (gold == state)
            if others.any():
                found[half, state] = read[others].mean(0)
    return found


def _apply(reference: Reference, given: dict[str, np.ndarray], said: Answers, where: Answers) -> dict[str, np.ndarray]:
    """Logits of all concepts with some set to what was said; nothing is set where nothing was."""
    logits = {}
    for name, read in reference.logits.items():
        state = said[name]
        wanted = np.take_along_axis(given[name], state.clip(min=0)[:, None, None], axis=1)[:, 0]
        logits[name] = np.where((where[name] & (state != MISSING))[:, None], wanted, read)
    return logits


def _label_right(
    model: ConceptBottleneck, reference: Reference, logits: dict[str, np.ndarray], setting: str
) -> np.ndarray:
    """1 where the label is read rightly, 0 where wrongly, nan where nobody knows it.

    Args:
        logits: of all texts, several times over if so wanted, [times * texts, states]

    Returns:
        [times * texts]
    """
    read = label_logits(model, logits, SETTINGS[setting]).argmax(-1)
    return _known(np.tile(reference.label_gold, len(read) // len(reference)), read)


def _known(gold: np.ndarray, read: np.ndarray) -> np.ndarray:
    return np.where(gold == MISSING, np.nan, gold == read)


def _mean(values: np.ndarray) -> float:
    return round(float(np.nanmean(values)), 6) if np.isfinite(values).any() else float("nan")
