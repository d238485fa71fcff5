"""Verdict: named gates over measured figures, which say whether interventions on a model do what they should."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

PASSED, FAILED = "passed", "failed"


@dataclass(frozen=True)
class Gate:
    """One figure and its bound.

    Attributes:
        name: of the figure
        value: as measured; None if it could not be measured, which fails
        reason: what the figure is; a failed gate says why
        at_least, at_most: the bound; one of them is None
        interval: 95 % interval of a figure from few attempts. Then the gate fails only if the whole interval is beyond
            the bound; otherwise a healthy model would fail by chance
    """

    name: str
    value: float | None
    reason: str
    at_least: float | None = None
    at_most: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def passed(self) -> bool:
        """Whether the figure is within its bound."""
        if self.value is None:
            return False
        low, high = self.interval or (self.value, self.value)
        return high >= self.at_least if self.at_most is None else low <= self.at_most

    def to_dict(self) -> dict:
        """Return the plain form, with the one bound that the gate has."""
        bound = {"at_least": self.at_least} if self.at_most is None else {"at_most": self.at_most}
        interval = {"interval": list(self.interval)} if self.interval else {}
        plain = {"name": self.name, "value": self.value, **interval, **bound}
        return {**plain, "passed": self.passed, "reason": self._full_reason()}

    def _full_reason(self) -> str:
        if self.value is None:
            return f"{self.reason}; this could not be measured"
        if self.at_most is None:
            within, side = self.value >= self.at_least, f"below {self.at_least:g}"
        else:
            within, side = self.value <= self.at_most, f"above {self.at_most:g}"
        if within:
            return self.reason
        interval = " ({:g} to {:g})".format(*self.interval) if self.interval else ""
        return f"{self.reason}; {self.value:g}{interval} is {side}{', but not surely' if self.passed else ''}"


def verdict(gates: Sequence[Gate]) -> str:
    """Return passed | failed: one failed gate fails the model; a model without gates passes."""
    return PASSED if all(gate.passed for gate in gates) else FAILED


def least_rise(curve: Sequence[float]) -> float:
    """Return the smallest step of a curve from one point to the next; negative where the curve falls."""
    return round(min(after - before for before, after in pairwise(curve)), 6)


def judge(
    figures: Mapping[str, float | None], bounds: Mapping[str, float], intervals: Mapping[str, Sequence[float] | None]
) -> list[Gate]:
    """Return the gates of the stage, in the order of `GATES`.

    Args:
        figures: by name of gate
        bounds: by name of gate; a gate without a bound is not judged
        intervals: by name of gate, of the figures that have one
    """
    known = {name: tuple(ends) for name, ends in intervals.items() if ends is not None}
    return [
        Gate(name, figures.get(name), reason, interval=known.get(name), **{side: float(bounds[name])})
        for name, (side, reason) in GATES.items()
        if name in bounds
    ]


# Name -> side of the bound, and what the figure is. The texts are part of `metrics/intervene.json`.
GATES = {
    "concept_rise": ("at_least", "the smallest rise of concept accuracy from one oracle edit to the next"),
    "hard_label_gain": (
        "at_least", "what editing all concepts to their annotated states adds to the label accuracy of the hard head"
    ),
    "repaired": ("at_least", "share of texts with a wrong prediction that patches fix, within the limits"),
    "harm": ("at_most", "share of correct predictions that patches harm, on separate groups"),
    "random_flips": ("at_most", "share of draws of random flips of equal number that reach the state"),
    "restored": ("at_least", "share of attempts after which the mask was the same to the bit"),
}  # fmt: skip
