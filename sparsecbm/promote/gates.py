"""Gates as pure functions: figures in, rows of the ledger out. A missing figure is a row, too, and never passes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from sparsecbm.base.params import Evaluate
from sparsecbm.base.params.drift import Drift
from sparsecbm.base.params.promote import CostGate, DriftGate, FigureGate, Gate, ScoreGate, SubgroupGate
from sparsecbm.drift.windows import Window, triggers
from sparsecbm.evaluate.variables import VariablePredictions
from sparsecbm.promote.artifacts import VersionPredictions
from sparsecbm.promote.bounds import check_bound
from sparsecbm.promote.ledger import FAILED, NOT_JUDGED, PASSED, REGRESSION, TIE, UNDECIDED, WIN, Row
from sparsecbm.promote.version_scores import (
    BootstrappedScore,
    average_scores,
    bootstrap_score,
    compare_scores,
    version_variables,
)

Variables = dict[str, VariablePredictions]


@dataclass(frozen=True)
class Evidence:
    """Everything that gates look at.

    Attributes:
        frame: the annotated held-out split
        challenger, champion: predictions on that split; no champion before the first promotion
        figures: FILE -> content of the challenger's metrics/FILE.json
        evaluate, seed: settings of the bootstrap
        windows: texts of today that were compared with the challenger's data, oldest first
        drift: when they trigger
    """

    frame: pd.DataFrame
    challenger: VersionPredictions
    champion: VersionPredictions | None
    figures: Mapping[str, dict]
    evaluate: Evaluate
    seed: int
    windows: Sequence[Window] = ()
    drift: Drift = field(default_factory=Drift)

    def score(self, variables: Variables, names: list[str], score: str) -> BootstrappedScore:
        """A score of one variable, or its average over several."""
        settings = (self.evaluate.bootstrap, self.seed, self.evaluate.calibration_bins)
        scores = [bootstrap_score(variables[name], score, *settings) for name in names]
        return scores[0] if len(scores) == 1 else average_scores(scores)


def apply_gates(gates: tuple[Gate, ...], evidence: Evidence) -> tuple[Row, ...]:
    """Apply every gate to every figure that it names."""
    rows: list[Row] = []
    for gate in gates:
        if isinstance(gate, ScoreGate):
            rows += _score_rows(gate, evidence)
        elif isinstance(gate, FigureGate):
            rows += _figure_rows(gate, evidence.figures)
        elif isinstance(gate, DriftGate):
            rows.append(_drift_row(gate, evidence))
        elif isinstance(gate, SubgroupGate):
            rows.append(_subgroup_row(gate, evidence.figures.get("evaluate", {}).get("subgroups") or {}))
        else:
            rows.append(_cost_row(gate, evidence))
    return tuple(rows)


def _score_rows(gate: ScoreGate, evidence: Evidence) -> Iterator[Row]:
    challenger = version_variables(evidence.challenger, evidence.frame)
    champion = version_variables(evidence.champion, evidence.frame) if evidence.champion else None
    target, _, score = gate.of.rpartition(".")
    concepts = [f"concepts.{name}" for name in evidence.challenger.concepts]
    for name in concepts if target == "concepts.*" else [target]:
        averaged = concepts if name == "concepts.mean" else [name]
        unknown = [variable.removeprefix("concepts.") for variable in averaged if variable not in challenger]
        if unknown or not averaged:
            reason = f"the split has no gold for {', '.join(unknown)} with the challenger's states"
            reason = reason if averaged else "the model has no concepts"
            yield _not_judged(gate.name, f"{name}.{score}", reason, "hold")
        else:
            yield _score_row(gate, f"{name}.{score}", averaged, challenger, champion, evidence)


def _score_row(
    gate: ScoreGate,
    figure: str,
    names: list[str],
    challenger_variables: Variables,
    champion_variables: Variables | None,
    evidence: Evidence,
) -> Row:
    score = figure.rpartition(".")[2]
    challenger = evidence.score(challenger_variables, names, score)
    if not math.isfinite(challenger.value):
        return _not_judged(gate.name, figure, "no text of the split has a gold state for it", "hold")
    bound = check_bound(gate, challenger.value, [challenger_variables[name] for name in names])
    beside = f", and worse by no more than {gate.margin:g}" if champion_variables is not None else ""
    condition = f"{bound.wanted}{beside}"
    row = Row(gate.name, figure, PASSED, value=challenger.value, wanted=condition)
    if not bound.kept:
        row = replace(row, outcome=FAILED, effect="reject", reason=f"{challenger.value:.3f} is {bound.fault}")
    if champion_variables is None:
        return row
    incomparable = [
        name for name in names if not _same_states(challenger_variables[name], champion_variables.get(name))
    ]
    if incomparable:
        concepts = ", ".join(name.removeprefix("concepts.") for name in incomparable)
        if row.effect:
            return row
        reason = f"the champion does not predict {concepts} with the same states"
        return replace(_not_judged(gate.name, figure, reason, "hold"), value=row.value, wanted=condition)
    champion = evidence.score(champion_variables, names, score)
    difference = compare_scores(challenger, champion, score)
    finite_interval = difference.interval if all(map(math.isfinite, difference.interval)) else None
    row = replace(row, champion=champion.value, difference=difference.value, interval=finite_interval)
    if row.effect:
        return row
    low, high = difference.interval
    if high < 0 or difference.value < -gate.margin:
        verdict = "significantly worse than the champion" if high < 0 else "worse than the champion beyond the margin"
        reason = f"{verdict}: {challenger.value:.3f} against {champion.value:.3f}"
        return replace(row, outcome=REGRESSION, effect="hold", reason=reason)
    return replace(row, outcome=WIN if low > 0 else TIE)


def _figure_rows(gate: FigureGate, figures: Mapping[str, dict]) -> Iterator[Row]:
    effect_if_missing = "hold" if gate.required else ""
    if gate.file not in figures:
        reason = f"the version holds no metrics/{gate.file}.json"
        yield _not_judged(gate.name, f"{gate.file}:{gate.key}", reason, effect_if_missing)
        return
    values = list(_values_under(figures[gate.file], gate.key.split("."), ""))
    if not values:
        reason = (
            f"metrics/{gate.file}.json has no such key: it is misspelt, or the run had too few texts for it, "
            "as with --profile quick"
        )
        yield _not_judged(gate.name, f"{gate.file}:{gate.key}", reason, effect_if_missing)
    for name, value in values:
        row = _figure_row(gate, f"{gate.file}:{name}", value, effect_if_missing)
        if row.outcome == FAILED:
            row = replace(row, reason=row.reason + _uncertainty(gate, figures[gate.file], name))
        undecided = list(_undecided(figures[gate.file])) if name == "verdict" and row.outcome == PASSED else []
        yield replace(row, outcome=UNDECIDED, reason="; ".join(undecided)) if undecided else row


def _figure_row(gate: FigureGate, figure: str, value: object, effect_if_missing: str) -> Row:
    conditions = {"at least": gate.at_least, "at most": gate.at_most, "equal to": gate.equals}
    word, bound = next((word, bound) for word, bound in conditions.items() if bound is not None)
    condition = f"{word} {bound}"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if word != "equal to" and not number:
        return _not_judged(gate.name, figure, f"{value!r} is not a number", effect_if_missing)
    passes = {"at least": lambda: value >= bound, "at most": lambda: value <= bound, "equal to": lambda: value == bound}
    shown = float(value) if number else str(value)
    if passes[word]():
        return Row(gate.name, figure, PASSED, value=shown, wanted=condition)
    return Row(gate.name, figure, FAILED, gate.failed, shown, wanted=condition, reason=f"{shown} is not {condition}")


def _uncertainty(gate: FigureGate, figures: Mapping[str, object], name: str) -> str:
    """The interval beside a figure that failed, if there is one, and whether it reaches the bound."""
    parent, _, own = name.rpartition(".")
    interval = next((value for _, value in _values_under(figures, [*parent.split("."), "interval"], "")), None)
    if own != "value" or not isinstance(interval, list) or gate.equals is not None:
        return ""
    low, high = interval
    reaches = high >= gate.at_least if gate.at_least is not None else low <= (gate.at_most or 0)
    told = "which reaches that: the texts are too few to tell" if reaches else "which does not reach that"
    return f"; its 95 % interval is {low:.3f} to {high:.3f}, {told}"


def _undecided(figures: Mapping[str, object]) -> Iterator[str]:
    """Gates behind a verdict that passed only since their interval reaches the bound; one sentence each."""
    gates = figures.get("gates")
    for gate in gates if isinstance(gates, list) else ():
        value, interval = gate.get("value"), gate.get("interval")
        for word, key in (("at least", "at_least"), ("at most", "at_most")):
            bound = gate.get(key)
            if bound is None or value is None or not gate.get("passed"):
                continue
            if value < bound if key == "at_least" else value > bound:
                reaches = (
                    "" if interval is None else f"; the interval {interval[0]:.3f} to {interval[1]:.3f} reaches it"
                )
                yield f"undecided: {gate.get('name')} is {value:.3f}, wanted is {word} {bound:g}{reaches}"


def _cost_row(gate: CostGate, evidence: Evidence) -> Row:
    value = getattr(evidence.challenger, gate.of)
    champion = getattr(evidence.champion, gate.of) if evidence.champion else None
    beside = f", and {gate.times:g} times the champion's" if champion is not None else ""
    condition = f"at most {gate.bound:g}{beside}"
    if value is None:
        return _not_judged(gate.name, gate.of, "it was not measured", "hold")
    row = Row(gate.name, gate.of, PASSED, value=value, champion=champion, wanted=condition)
    if value > gate.bound:
        return replace(row, outcome=FAILED, effect="reject", reason=f"{value:.1f} is above {gate.bound:g}")
    if champion and value > gate.times * champion:
        reason = f"{value / champion:.2f} times the champion's {champion:.1f}"
        return replace(row, outcome=REGRESSION, effect="hold", reason=reason)
    return row if champion is None else replace(row, outcome=TIE)


def _drift_row(gate: DriftGate, evidence: Evidence) -> Row:
    if not evidence.windows:
        reason = "no texts of today were compared with its data by `sparsecbm drift`"
        return _not_judged(gate.name, "figures that drift", reason, "hold" if gate.required else "")
    running = evidence.drift.windows
    figures = triggers(evidence.windows, running)
    row = Row(gate.name, "figures that drift", PASSED, value=len(figures), wanted=f"none in {running} windows running")
    if figures:
        reason = f"{', '.join(figures)} drifted in {running} windows running"
        return replace(row, outcome=FAILED, effect=gate.failed, reason=reason)
    return row


def _subgroup_row(gate: SubgroupGate, subgroups: Mapping[str, Mapping[str, dict]]) -> Row:
    """The lowest accuracy of a subgroup; one whose interval is wholly below the bound comes before a lower one."""
    target, _, concept = gate.of.partition(".")
    judged: list[tuple[bool, float, str, dict]] = []
    for column, values in subgroups.items():
        for value, scores in values.items():
            score = scores[target].get(concept) if concept else scores[target]
            if score and None not in score["accuracy_interval"] and score["texts"] >= gate.texts:
                surely = score["accuracy_interval"][1] < gate.at_least
                judged.append((not surely, score["accuracy"], f"{column} = {value}", score))
    figure = f"{gate.of}.accuracy of a subgroup"
    if not judged:
        reason = f"no subgroup has scores of {gate.of} on {gate.texts} texts; see evaluate.subgroups"
        return _not_judged(gate.name, figure, reason, "hold" if gate.required else "")
    unsure, accuracy, name, score = min(judged)
    low, high = score["accuracy_interval"]
    wanted = f"at least {gate.at_least:g} in each subgroup of {gate.texts} texts"
    row = Row(gate.name, f"{figure}: {name}", PASSED, value=accuracy, wanted=wanted)
    if not unsure:
        reason = f"{name}: {accuracy:.3f} on {score['texts']} texts, and at most {high:.3f}, is below {gate.at_least:g}"
        return replace(row, outcome=FAILED, effect=gate.failed, reason=reason)
    if accuracy < gate.at_least:
        reason = f"{name}: {accuracy:.3f} on {score['texts']} texts; the interval {low:.3f} to {high:.3f} reaches it"
        return replace(row, outcome=UNDECIDED, reason=reason)
    return row


def _values_under(nested: object, parts: list[str], path: str) -> Iterator[tuple[str, object]]:
    """Name and value of each leaf under a dotted key; `*` in the key matches every name."""
    if not parts:
        yield path, nested
    elif isinstance(nested, dict):
        for name in sorted(nested) if parts[0] == "*" else [parts[0]]:
            if name in nested:
                yield from _values_under(nested[name], parts[1:], f"{path}.{name}" if path else name)


def _same_states(challenger: VariablePredictions, champion: VariablePredictions | None) -> bool:
    return champion is not None and set(challenger.states) == set(champion.states)


def _not_judged(gate: str, figure: str, reason: str, effect: str) -> Row:
    return Row(gate, figure, NOT_JUDGED, effect, reason=f"not judged: {reason}")
