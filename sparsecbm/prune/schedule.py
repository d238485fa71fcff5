"""How sparse masks are at each step, and at which steps they are pruned."""

from dataclasses import dataclass

from sparsecbm.base.errors import ConfigError, unknown

KINDS = ("cubic", "linear", "constant")


@dataclass(frozen=True)
class Schedule:
    """Sparsity over the steps of training.

    Attributes:
        kind: `cubic` s(t) = final + (initial - final) (1 - t)^3 (Zhu & Gupta, arXiv 1710.01878, equation 1), `linear`
            s(t) = initial + (final - initial) t, with t from 0 at `begin` to 1 at `end`; or `constant`, which is
            `final` from `begin` on and has no use for `initial`
        initial: sparsity at `begin`; before it, masks are dense
        final: sparsity at `end` and after it; and at `begin` where that is `end`
        begin: step of the first pruning event
        end: step of the last one
        interval: steps from an event to the next; the last may follow sooner. Either this is given, or
        events: how many events there are, at even distances rounded to whole steps

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
        """Share of weights to be dropped at a step, in [0, 1)."""
        if step < self.begin:
            return 0.0
        if step >= self.end or self.kind == "constant":
            return self.final
        t = (step - self.begin) / (self.end - self.begin)
        if self.kind == "linear":
            return self.initial + (self.final - self.initial) * t
        return self.final + (self.initial - self.final) * (1 - t) ** 3

    def event_steps(self) -> tuple[int, ...]:
        """The steps of the pruning events, in order; `begin` and `end` are among them."""
        span = self.end - self.begin
        if span == 0:
            return (self.begin,)
        if self.interval is not None:
            return (*range(self.begin, self.end, self.interval), self.end)
        gaps = self.events - 1
        return tuple(self.begin + (2 * i * span + gaps) // (2 * gaps) for i in range(self.events))  # half rounds up
