"""Three ways to fail, told apart: other rates of concepts, other words for them, other labels for them."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sparsecbm.base.params.drift import Drift
from sparsecbm.base.published import PUBLISHED
from sparsecbm.drift.measures import ANNOTATED_RATES, CONCEPT_TO_LABEL, RATES, TEXT_TO_CONCEPT, Measure
from sparsecbm.drift.outputs import LABEL

CONCEPT_RATES = "concept rates"
INPUTS = ("confidence", "classifier", "kernel", "vocabulary", "length", "language")
NEEDS = {
    TEXT_TO_CONCEPT: "{least} freshly annotated texts of a concept, in a column of its name",
    CONCEPT_TO_LABEL: "{least} texts with all concepts and the label, in columns of their names",
}


@dataclass(frozen=True, config=PUBLISHED)
class Failure:
    """One of the three failures."""

    name: Literal["concept rates", "text to concept", "concept to label"]
    state: Literal["found", "not found", "not tested"]
    reason: Annotated[str, Field(description="the figures behind it, or what a test needs")]


def find_failures(measures: Sequence[Measure], params: Drift) -> list[Failure]:
    """Judge the three failures by the measures of a window.

    Where people annotated a concept, their rates decide, since predicted rates also move if the model misreads texts.
    """
    annotated = [each for each in measures if each.kind == ANNOTATED_RATES]
    known = {each.of for each in annotated}
    predicted = [each for each in measures if each.kind == RATES and each.of != LABEL and each.of not in known]
    failures = [_judged(CONCEPT_RATES, [*annotated, *predicted], _describe_rates)]
    for name, need in NEEDS.items():
        tested = [each for each in measures if each.kind == name]
        if tested:
            failures.append(_judged(name, tested, _describe_fall))
        else:
            hint = _hint(measures) if name == TEXT_TO_CONCEPT else ""
            reason = f"a test needs {need.format(least=params.least_annotated)}{hint}"
            failures.append(Failure(name, "not tested", reason))
    return failures


def _judged(name: str, measures: Sequence[Measure], describe) -> Failure:
    found = [each for each in measures if each.drifted]
    if found:
        return Failure(name, "found", "; ".join(map(describe, found)))
    strongest = min(measures, key=lambda each: each.p)
    return Failure(name, "not found", f"the strongest sign is {describe(strongest)}, p {strongest.p_holm:.2g} by Holm")


def _hint(measures: Sequence[Measure]) -> str:
    changed = sorted({each.kind for each in measures if each.drifted and each.kind in INPUTS})
    return f"; the texts changed ({', '.join(changed)}), so it is worth while" if changed else ""


def _describe_rates(measure: Measure) -> str:
    state = max(measure.window, key=lambda name: abs(measure.window[name] - measure.reference[name]))
    return f"{measure.of} {state} {measure.reference[state]:.0%} to {measure.window[state]:.0%}"


def _describe_fall(measure: Measure) -> str:
    old, new = measure.reference["mean"], measure.window["mean"]
    rise = 0.0 - round(measure.effect, 2)  # 0, not -0, where nothing changed
    return f"{measure.of} right {old:.0%} to {new:.0%}, {rise:+.0%} at equal rates"
