"""Whether interventions on a model do what they should: named gates over measured figures, and one word for all."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

PASSED, FAILED = "passed", "failed"


@dataclass(frozen=True)
class Gate:
    """One figure against one bound.

    Attributes:
        name: of the figure
        value: as measured; None if it could not be, which fails
        at_least, at_most: the bound; one of them is None
        reason: what the figure is, and why the gate failed if it did
        interval: 95 %, of a figure that rests on few attempts; then the gate fails only where all of it is beyond the
            bound, or else a healthy model would fail as often as chance has it
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
        """Plain form: the bound that it has, and no other."""
        plain = {name: value for name, value in asdict(self).items() if name in ("name", "value")}
        bound = {"at_least": self.at_least} if self.at_most is None else {"at_most": self.at_most}
        interval = {"interval": list(self.interval)} if self.interval else {}
        return {**plain, **interval, **bound, "passed": self.passed, "reason": self._said()}

    def _said(self) -> str:
        if self.value is None:
            return f"{self.reason}; this could not be measured"
        if self.at_most is None:
            within, side = self.value >= self.at_least, f"below {self.at_least:g}"
        else:
            within, side = self.value <= self.at_most, f"above {self.at_most:g}"
        if within:
            return self.reason
        known = " ({:g} to {:g})".format(*self.interval) if self.interval else ""
        return f"{self.reason}; {self.value:g}{known} is {side}{', but not surely' if self.passed else ''}"


def verdict(gates: Sequence[Gate]) -> str:
    """passed | failed: one failed gate fails all; without gates there is nothing to object to."""
    return PASSED if all(gate.passed for gate in gates) else FAILED


def least_rise(curve: Sequence[float]) -> float:
    """The smallest step of a curve from one point to the next; negative where it falls."""
    return round(min(after - before for before, after in pairwise(curve)), 6)


def judge(
    figures: Mapping[str, float | None], bounds: Mapping[str, float], intervals: Mapping[str, Sequence[float] | None]
) -> list[Gate]:
    """The gates of the stage, in the order of `GATES`.

    Args:
        figures: by name of gate
        bounds: likewise; a gate without a bound is not judged
        intervals: likewise, of figures that have one
    """
    known = {name: tuple(ends) for name, ends in intervals.items() if ends is not None}
    return [
        Gate(name, figures.get(name), reason, interval=known.get(name), **{side: float(bounds[name])})
        for name, (side, reason) in GATES.items()
        if name in bounds
    ]


GATES = {
    "concept_rise": ("at_least", "the smallest rise of concept accuracy from one oracle edit to the next"),
    "hard_label_gain": (
        "at_least", "what editing all concepts to their annotated states adds to the label accuracy of the hard head"
    ),
    "repaired": ("at_least", "share of all attempts on misread texts that reach the state within bits and harm"),
    "harm": ("at_most", "share of the concept's right readings that patches spoil, on groups apart"),
    "random_flips": ("at_most", "share of draws of random flips of equal number that reach the state"),
    "restored": ("at_least", "share of attempts after which the mask was the same to the bit"),
}  # fmt: skip
