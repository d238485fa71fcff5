"""What the gates found: one row a gate and figure, and the verdict that follows from the rows."""

import hashlib
import json
from dataclasses import asdict, dataclass

PROMOTE = "PROMOTE"
HOLD = "HOLD"  # nothing is broken, and it is not shown to be better
REJECT = "REJECT"

WIN = "win"
TIE = "tie"
REGRESSION = "regression"
PASSED = "passed"
FAILED = "failed"
NOT_JUDGED = "not judged"

NAME_WIDTH = 40


@dataclass(frozen=True)
class Row:
    """One gate on one figure.

    Attributes:
        gate: its name in params.yaml
        figure: what was looked at, by its dotted name
        outcome: win | tie | regression | passed | failed | not judged
        effect: what it does to the verdict: empty, or hold, or reject
        value, champion: the challenger's figure and the champion's, where they are numbers or words
        difference, interval: how much better the challenger is, and the 95 % interval of that
        wanted: the condition, in words
        reason: why it is not judged, or is a fault
    """

    gate: str
    figure: str
    outcome: str
    effect: str = ""
    value: float | str | None = None
    champion: float | str | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    wanted: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Ledger:
    """A challenger as judged.

    Attributes:
        model: the registered model's name
        challenger, champion: versions; no champion before the first promotion
        split, split_sha256, texts: what both read
        rows: gates in their order
        notes: what a reader should know besides
        ties: hold | promote, what becomes of a challenger that is better nowhere
    """

    model: str
    challenger: int
    champion: int | None
    split: str
    split_sha256: str
    texts: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    ties: str

    @property
    def verdict(self) -> str:
        """REJECT if any row says so, else HOLD if any does or nothing is better than the champion, else PROMOTE."""
        effects = {row.effect for row in self.rows}
        if "reject" in effects:
            return REJECT
        return HOLD if "hold" in effects or self._better_nowhere else PROMOTE

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why not, or why; what was not judged is always among them."""
        told = [f"{row.gate} ({row.figure}): {row.reason}" for row in self.rows if row.reason]
        if self._better_nowhere:
            told.append(f"it is surely better than version {self.champion} in nothing, and promote.ties is hold")
        wins = [row.figure for row in self.rows if row.outcome == WIN]
        if wins:
            told.append(f"surely better than version {self.champion} in: {', '.join(wins)}")
        return tuple(told) or ("every gate passed",)

    @property
    def _better_nowhere(self) -> bool:
        return self.champion is not None and self.ties == "hold" and not any(row.outcome == WIN for row in self.rows)

    @property
    def sha256(self) -> str:
        """Over its plain form."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict:
        """Plain form, as JSON holds it."""
        return {"verdict": self.verdict, "reasons": list(self.reasons), **json.loads(json.dumps(asdict(self)))}

    def to_markdown(self) -> str:
        """A page for Prefect and MLflow."""
        against = f"version {self.champion}" if self.champion else "no champion"
        lines = [
            f"## Version {self.challenger} of `{self.model}`: {self.verdict}",
            "",
            f"Against {against}, on {self.texts} texts of split `{self.split}` (`{self.split_sha256[:12]}`).",
            "",
            *(f"- {reason}" for reason in self.reasons),
            "",
            "| gate | figure | outcome | challenger | champion | better by | 95 % | wanted |",
            "|---|---|---|---|---|---|---|---|",
            *(_line(row) for row in self.rows),
            "",
            *(f"{note}\n" for note in self.notes),
        ]
        return "\n".join(lines).rstrip() + "\n"


def shown(value: float | str | None) -> str:
    """A figure as a reader wants it."""
    if value is None:
        return ""
    return f"{value:z.3f}" if isinstance(value, float) else str(value)


def _line(row: Row) -> str:
    between = "" if row.interval is None else " to ".join(map(shown, row.interval))
    marked = f"**{row.outcome}** ({row.effect})" if row.effect else row.outcome
    cells = (row.gate, f"`{_short(row.figure)}`", marked, shown(row.value), shown(row.champion), shown(row.difference))
    return f"| {' | '.join((*cells, between, row.wanted))} |"


def _short(figure: str) -> str:
    """A figure's name in `NAME_WIDTH` signs; pages that do not fold names would hide the columns beside it."""
    if len(figure) <= NAME_WIDTH:
        return figure
    file, _, key = figure.rpartition(":")
    return f"{file}:…{key[len(file) + 2 - NAME_WIDTH :]}"
