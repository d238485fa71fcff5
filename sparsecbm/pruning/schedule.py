"""How sparse masks are at each step, and at which steps they are pruned."""

from dataclasses import dataclass
from typing import Self

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.params import Prune

KINDS = ("cubic", "linear", "constant")


@dataclass(frozen=True)
class Schedule:
    """Sparsity over the steps of training.

    Attributes:
        kind: `cubic` s(t) = final + (initial - final) (1 - t)^3 (Zhu & Gupta, arXiv 1710.01878, equation 1), or
            `linear` s(t) = initial + (final - initial) t, with t from 0 at `begin` to 1 at `end`; or `constant`, which
            is `final` from `begin` on and does not use `initial`
        initial: sparsity at `begin`; masks are dense before it
        final: sparsity from `end` on; if `end` is `begin`, sparsity at that step
        begin: step of the first pruning event
        end: step of the last pruning event
        interval: steps from one event to the next; the last interval may be shorter. Give either this or `events`
        events: number of events, at equal distances that are rounded to whole steps

    Raises:
        ConfigError: a value is out of range, or not exactly one of `interval` and `events` is given.
    """

    kind: str
    initial: float
    final: float
    begin: int
    end: int
    interval: int | None = None
    events: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(unknown("schedule", self.kind, KINDS))
        for name in ("initial", "final"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"schedule: {name} sparsity is in [0, 1), not {getattr(self, name)}")
        if self.initial > self.final:
            raise ConfigError(f"schedule: initial sparsity {self.initial} is above the final one, {self.final}")
        if not 0 <= self.begin <= self.end:
            raise ConfigError(f"schedule: begin {self.begin} must be from 0 to end {self.end}")
        if (self.interval is None) == (self.events is None):
            raise ConfigError("schedule: give either interval or events")
        if self.interval is not None and self.interval < 1:
            raise ConfigError(f"schedule: interval must be at least 1 step, not {self.interval}")
        if self.events is not None and self.begin < self.end and not 2 <= self.events <= self.end - self.begin + 1:
            raise ConfigError(
                f"schedule: {self.events} events do not fit from step {self.begin} to {self.end}, both included; "
                f"give 2 to {self.end - self.begin + 1}"
            )

    def sparsity(self, step: int) -> float:
        """Share of weights to drop at a step, in [0, 1)."""
        if step < self.begin:
            return 0.0
        if step >= self.end or self.kind == "constant":
            return self.final
        t = (step - self.begin) / (self.end - self.begin)
        if self.kind == "linear":
            return self.initial + (self.final - self.initial) * t
        return self.final + (self.initial - self.final) * (1 - t) ** 3

    def event_steps(self) -> tuple[int, ...]:
        """The steps of the pruning events, in order, from `begin` to `end`."""
        span = self.end - self.begin
        if span == 0:
            return (self.begin,)
        if self.interval is not None:
            return (*range(self.begin, self.end, self.interval), self.end)
        events = self.events or 0  # one of the two is given
        gaps = events - 1
        return tuple(self.begin + (2 * i * span + gaps) // (2 * gaps) for i in range(events))  # rounds a half up


@dataclass(frozen=True)
class PruningEvents:
    """The pruning events of one training.

    Attributes:
        schedule: sparsity at each step
        steps: numbers of the updates before which an event takes place
    """

    schedule: Schedule
    steps: frozenset[int]

    @classmethod
    def plan(cls, params: Prune, updates: int) -> Self:
        """The events of a training of this many updates.

        Learnt scores let masks recover, so with saliency `movement` events go on at the final sparsity until training
        ends.
        """
        begin, end = int(params.begin * updates), int(params.end * updates)
        # A small data set has few updates; then every update has an event.
        events = min(params.events, end - begin + 1) if begin < end else None
        schedule = Schedule(
            params.schedule, params.initial, params.sparsity, begin, end,
            interval=None if events else 1, events=events,
        )  # fmt: skip
        steps = set(schedule.event_steps())
        if params.saliency == "movement" and events:
            steps |= set(range(end, updates, max(1, (end - begin) // max(1, events - 1))))
        return cls(schedule, frozenset(steps))
