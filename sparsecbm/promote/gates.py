"""Gates as pure functions: figures in, rows of the ledger out. Nothing passes in silence: what is missing is a row."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from sparsecbm.base.params import Evaluate
from sparsecbm.base.params.promote import CostGate, FigureGate, Gate, ScoreGate
from sparsecbm.evaluate.variables import Variable
from sparsecbm.promote.artifacts import VersionPredictions
from sparsecbm.promote.ledger import FAILED, NOT_JUDGED, PASSED, REGRESSION, TIE, WIN, Row
from sparsecbm.promote.version_scores import SMALLER_IS_BETTER, Drawn, difference, drawn, mean, variables


@dataclass(frozen=True)
class Evidence:
    """All that gates look at.

    Attributes:
        frame: the held-out split, annotated
        challenger, champion: what each read in it; no champion before the first promotion
        figures: FILE -> content of the challenger's metrics/FILE.json
        evaluate, seed: how scores are resampled
    """

    frame: pd.DataFrame
    challenger: VersionPredictions
    champion: VersionPredictions | None
    figures: Mapping[str, dict]
    evaluate: Evaluate
    seed: int


def judge(gates: tuple[Gate, ...], evidence: Evidence) -> tuple[Row, ...]:
    """Every gate on every figure that it names."""
    rows: list[Row] = []
    for gate in gates:
        if isinstance(gate, ScoreGate):
            rows += _scores(gate, evidence)
        elif isinstance(gate, FigureGate):
            rows += _figures(gate, evidence.figures)
        else:
            rows.append(_cost(gate, evidence))
    return tuple(rows)


def _scores(gate: ScoreGate, evidence: Evidence) -> Iterator[Row]:
    mine = variables(evidence.challenger, evidence.frame)
    theirs = variables(evidence.champion, evidence.frame) if evidence.champion else None
    of, _, score = gate.of.rpartition(".")
    concepts = [f"concepts.{name}" for name in evidence.challenger.concepts]
    for name in concepts if of == "concepts.*" else [of]:
        members = concepts if name == "concepts.mean" else [name]
        unknown = [member.removeprefix("concepts.") for member in members if member not in mine]
        if unknown or not members:
            why = f"the split does not hold {', '.join(unknown)} with the states that the challenger reads"
            yield _not_judged(gate.name, f"{name}.{score}", why if members else "the model reads no concepts", "hold")
        else:
            yield _score(gate, f"{name}.{score}", members, mine, theirs, evidence)


def _score(
    gate: ScoreGate,
    figure: str,
    members: list[str],
    mine: dict[str, Variable],
    theirs: dict[str, Variable] | None,
    evidence: Evidence,
) -> Row:
    score = figure.rpartition(".")[2]
    smaller = score in SMALLER_IS_BETTER

    def figure_of(read: dict[str, Variable]) -> Drawn:
        settings = (evidence.evaluate.bootstrap, evidence.seed, evidence.evaluate.calibration_bins)
        each = [drawn(read[member], score, *settings) for member in members]
        return each[0] if len(each) == 1 else mean(each)

    challenger = figure_of(mine)
    wanted = f"{'at most' if smaller else 'at least'} {gate.bound:g}, and worse by no more than {gate.margin:g}"
    if not math.isfinite(challenger.value):
        return _not_judged(gate.name, figure, "no text of the split has a gold state for it", "hold")
    row = Row(gate.name, figure, PASSED, value=challenger.value, wanted=wanted)
    if challenger.value > gate.bound if smaller else challenger.value < gate.bound:
        reason = f"{challenger.value:.3f} is {'above' if smaller else 'below'} {gate.bound:g}"
        row = _with(row, outcome=FAILED, effect="reject", reason=reason)
    if theirs is None:
        return row
    apart = [member for member in members if not _same_question(mine[member], theirs.get(member))]
    if apart:
        names = ", ".join(member.removeprefix("concepts.") for member in apart)
        if row.effect:
            return row
        return _with(
            _not_judged(gate.name, figure, f"the champion reads no {names}, or reads it in other states", "hold"),
            value=row.value, wanted=wanted,
        )  # fmt: skip
    champion = figure_of(theirs)
    gap = difference(challenger, champion, score)
    between = gap.interval if all(map(math.isfinite, gap.interval)) else None
    row = _with(row, champion=champion.value, difference=gap.value, interval=between)
    if row.effect:
        return row
    low, high = gap.interval
    if high < 0 or gap.value < -gate.margin:
        sure = "surely" if high < 0 else "by more than the margin"
        reason = f"{sure} worse than the champion: {challenger.value:.3f} against {champion.value:.3f}"
        return _with(row, outcome=REGRESSION, effect="hold", reason=reason)
    return _with(row, outcome=WIN if low > 0 else TIE)


def _figures(gate: FigureGate, figures: Mapping[str, dict]) -> Iterator[Row]:
    missing = "hold" if gate.required else ""
    if gate.file not in figures:
        why = f"the version holds no metrics/{gate.file}.json"
        yield _not_judged(gate.name, f"{gate.file}:{gate.key}", why, missing)
        return
    found = list(_at(figures[gate.file], gate.key.split("."), ""))
    if not found:
        yield _not_judged(gate.name, f"{gate.file}:{gate.key}", f"metrics/{gate.file}.json has no such key", missing)
    for name, value in found:
        yield _figure(gate, f"{gate.file}:{name}", value, missing)


def _figure(gate: FigureGate, figure: str, value: object, missing: str) -> Row:
    conditions = {"at least": gate.at_least, "at most": gate.at_most, "equal to": gate.equals}
    word, bound = next((word, bound) for word, bound in conditions.items() if bound is not None)
    wanted = f"{word} {bound}"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if word != "equal to" and not number:
        return _not_judged(gate.name, figure, f"it is {value!r}, no number", missing)
    passed = {"at least": lambda: value >= bound, "at most": lambda: value <= bound, "equal to": lambda: value == bound}
    told = float(value) if number else str(value)
    if passed[word]():
        return Row(gate.name, figure, PASSED, value=told, wanted=wanted)
    return Row(gate.name, figure, FAILED, gate.failed, told, wanted=wanted, reason=f"{told} is not {wanted}")


def _cost(gate: CostGate, evidence: Evidence) -> Row:
    value, champion = (getattr(read, gate.of) if read else None for read in (evidence.challenger, evidence.champion))
    wanted = f"at most {gate.bound:g}, and {gate.times:g} times the champion's"
    if value is None:
        return _not_judged(gate.name, gate.of, "it was not measured", "hold")
    row = Row(gate.name, gate.of, PASSED, value=value, champion=champion, wanted=wanted)
    if value > gate.bound:
        return _with(row, outcome=FAILED, effect="reject", reason=f"{value:.1f} is above {gate.bound:g}")
    if champion and value > gate.times * champion:
        reason = f"{value / champion:.2f} times the champion's {champion:.1f}"
        return _with(row, outcome=REGRESSION, effect="hold", reason=reason)
    return row if champion is None else _with(row, outcome=TIE)


def _at(nested: object, parts: list[str], path: str) -> Iterator[tuple[str, object]]:
    """Values under a dotted key in which `*` stands for every name, with the names that stood there."""
    if not parts:
        yield path, nested
    elif isinstance(nested, dict):
        for name in sorted(nested) if parts[0] == "*" else [parts[0]]:
            if name in nested:
                yield from _at(nested[name], parts[1:], f"{path}.{name}" if path else name)


def _same_question(mine: Variable, theirs: Variable | None) -> bool:
    return theirs is not None and set(mine.states) == set(theirs.states)


def _not_judged(gate: str, figure: str, reason: str, effect: str) -> Row:
    return Row(gate, figure, NOT_JUDGED, effect, reason=f"not judged: {reason}")


def _with(row: Row, **changes: object) -> Row:
    return Row(**{**vars(row), **changes})
