"""The ledger: one row for each gate and figure, and the verdict that follows from the rows."""

import hashlib
import json
from dataclasses import asdict, dataclass

from sparsecbm.base.markdown import markdown, markdown_code

PROMOTE = "PROMOTE"
HOLD = "HOLD"  # nothing is broken, but nothing shows that the version is better
REJECT = "REJECT"

WIN = "win"
TIE = "tie"
REGRESSION = "regression"
PASSED = "passed"
FAILED = "failed"
UNDECIDED = "undecided"  # beyond a bound, but the interval reaches it: neither passed nor failed; it holds nothing
NOT_JUDGED = "not judged"

NAME_WIDTH = 40


@dataclass(frozen=True)
class Row:
    """One gate applied to one figure.

    Attributes:
        gate: its name in params.yaml
        figure: its dotted name
        outcome: win | tie | regression | passed | failed | undecided | not judged
        effect: on the verdict: empty, hold or reject
        value, champion: the figure of the challenger and of the champion
        difference, interval: how much better the challenger is, and the 95 % interval
        wanted: the condition, in words
        reason: why the gate failed, is undecided or did not judge
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
    """The judgement of a challenger.

    Attributes:
        model: name of the registered model
        challenger, champion: versions; no champion before the first promotion
        split, split_sha256, texts: the held-out split, and its number of texts
        rows: in the order of the gates
        notes: further remarks for the reader
        ties: hold | promote: the verdict on a challenger without a win
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
        """REJECT if any row rejects; else HOLD if any row holds or there is no win over the champion; else PROMOTE."""
        effects = {row.effect for row in self.rows}
        if "reject" in effects:
            return REJECT
        return HOLD if "hold" in effects or self._held_without_win else PROMOTE

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons for and against, every figure that was not judged included; last what holds nothing back."""
        told = [row for row in self.rows if row.reason]
        reasons = [f"{row.gate} ({row.figure}): {row.reason}" for row in told if row.effect]
        if self._held_without_win:
            reasons.append(f"no figure is significantly better than version {self.champion}, and promote.ties is hold")
        wins = [row.figure for row in self.rows if row.outcome == WIN]
        if wins:
            reasons.append(f"significantly better than version {self.champion} in: {', '.join(wins)}")
        notes = [f"{row.gate} ({row.figure}) {row.reason}" for row in told if not row.effect]
        reasons += [f"note, holds nothing back: {note}" for note in notes]
        return tuple(reasons) or ("every gate passed",)

    @property
    def _held_without_win(self) -> bool:
        return self.champion is not None and self.ties == "hold" and not any(row.outcome == WIN for row in self.rows)

    @property
    def sha256(self) -> str:
        """sha256 of the plain form."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict:
        """Plain form for JSON."""
        return {"verdict": self.verdict, "reasons": list(self.reasons), **json.loads(json.dumps(asdict(self)))}

    def to_markdown(self) -> str:
        """The ledger as Markdown, for Prefect and MLflow."""
        against = f"version {self.champion}" if self.champion else "no champion"
        split = f"{markdown_code(self.split)} (`{self.split_sha256[:12]}`)"
        lines = [
            f"## Version {self.challenger} of {markdown_code(self.model)}: {self.verdict}",
            "",
            f"Against {against}, on {self.texts} texts of split {split}.",
            "",
            *(f"- {markdown(reason)}" for reason in self.reasons),
            "",
            "| gate | figure | outcome | challenger | champion | better by | 95 % | condition |",
            "|---|---|---|---|---|---|---|---|",
            *(_line(row) for row in self.rows),
            "",
            *(f"{markdown(note)}\n" for note in self.notes),
        ]
        return "\n".join(lines).rstrip() + "\n"


def format_figure(value: float | str | None) -> str:
    """A figure as text: three decimals, empty for None."""
    if value is None:
        return ""
    return f"{value:z.3f}" if isinstance(value, float) else str(value)


def _line(row: Row) -> str:
    interval = "" if row.interval is None else " to ".join(map(format_figure, row.interval))
    outcome = f"**{row.outcome}** ({row.effect})" if row.effect else row.outcome
    figures = (markdown(format_figure(figure)) for figure in (row.value, row.champion, row.difference))
    gate, figure, wanted = markdown(row.gate), markdown_code(_short(row.figure)), markdown(row.wanted)
    return f"| {' | '.join((gate, figure, outcome, *figures, interval, wanted))} |"


def _short(figure: str) -> str:
    """A figure's name in at most `NAME_WIDTH` characters; Prefect and MLflow do not wrap long names in tables."""
    if len(figure) <= NAME_WIDTH:
        return figure
    file, _, key = figure.rpartition(":")
    return f"{file}:…{key[len(file) + 2 - NAME_WIDTH :]}"
