"""Promotion in the terminal: ledger, history and status."""

import re
from collections.abc import Sequence
from itertools import compress

from rich.table import Table
from rich.text import Text

from sparsecbm.cli.printing.terminal import Terminal, cell, say
from sparsecbm.promote.history import Entry, History
from sparsecbm.promote.ledger import Ledger, format_figure
from sparsecbm.promote.status import Status

COLOURS = {"PROMOTE": "green", "HOLD": "yellow", "REJECT": "red"}
ROOM = 105  # columns of a terminal that has room for all that a ledger shows
NAMES = 27  # columns for the name of a figure; a longer one is broken after its dots
DONE = {
    "promote": "promoted: version {version} is the champion",
    "rollback": "rolled back: version {version} is the champion again",
    "refuse": "not promoted: version {version}, verdict {verdict}",
    "undo": "undone: version {version} is not the champion",
    "restart": "restarted: the history is verified from here on",
}


def show_ledger(ledger: Ledger) -> None:
    """Print every gate with its figures, then verdict and reasons."""
    console = Terminal()
    table = Table(box=None, pad_edge=False)
    # A column that would make others fold is left out; the page has all.
    roomy, compared = console.width >= ROOM, ledger.champion is not None
    shown = {
        "gate": roomy or not compared,
        "figure": True,
        "outcome": True,
        "challenger": True,
        "champion": compared,
        "better by": compared,
        "95 %": roomy and compared,
        "condition": roomy and not compared,
    }
    for column in filter(shown.get, shown):
        justify = "left" if column in ("gate", "figure", "outcome", "condition") else "right"
        table.add_column(column, justify=justify, overflow="fold")
    for row in ledger.rows:
        colour = {"reject": "red", "hold": "yellow"}.get(row.effect, "green" if row.outcome == "win" else "default")
        interval = "" if row.interval is None else " to ".join(map(format_figure, row.interval))
        figures = map(cell, map(format_figure, (row.value, row.champion, row.difference)))
        cells = (
            cell(row.gate), _broken(row.figure), cell(row.outcome, colour), *figures, cell(interval), cell(row.wanted)
        )  # fmt: skip
        table.add_row(*compress(cells, shown.values()))
    console.print(table)
    against = f"version {ledger.champion}" if ledger.champion else "no champion"
    verdict = (ledger.verdict, COLOURS[ledger.verdict])
    console.print(Text.assemble(verdict, f" version {ledger.challenger} of {ledger.model}, against {against}"))
    for line in (*ledger.reasons, *ledger.notes):
        console.print(f"  {line}", soft_wrap=True)


def _broken(name: str) -> Text:
    """The name of a figure, on lines that end after a dot, a colon or an underscore."""
    lines = [""]
    for part in re.findall(r"[^.:_]*[.:_]|[^.:_]+", cell(name).plain):
        if lines[-1] and len(lines[-1] + part) > NAMES:
            lines.append("")
        lines[-1] += part
    return Text("\n".join(lines))


def show_entry(entry: Entry) -> None:
    """Print the result of an operation in one line."""
    done = DONE[entry.action].format(version=entry.version, verdict=entry.verdict)
    say(f"{done} (entry {entry.number} of the history)")


def show_history(history: History, faults: Sequence[str], clock_jumps: Sequence[str]) -> None:
    """Print the history, the newest entry last, and whether its chain is intact."""
    console = Terminal()
    table = Table(
        "", "time (UTC)", "action", "version", "champion", "verdict", "by", "reason", box=None, pad_edge=False
    )  # fmt: skip
    for entry in history.entries:
        champions = f"{entry.before[0] or '-'} -> {entry.after[0] or '-'}"
        action = f"{entry.action}, forced" if entry.forced else entry.action
        reason = entry.reason if len(entry.reason) <= 80 else f"{entry.reason[:79]}…"
        cells = (entry.time[:19], action, str(entry.version or "-"), champions, entry.verdict, entry.by, reason)
        table.add_row(str(entry.number), *map(cell, cells))
    console.print(table)
    for line in (*history.notes, *clock_jumps):
        console.print(line, style="yellow", soft_wrap=True)
    for line in faults:
        console.print(line, style="red", soft_wrap=True)
    if not faults:
        console.print(f"the chain of {len(history.entries)} entries is intact", style="green")
    if history.first > 1:
        console.print(f"entries before {history.first}, a restart, are kept as they were, and not verified")
    if history.last:
        console.print(f"sha256 of entry {history.last.number}: {history.last.hash}", soft_wrap=True)


def show_status(status: Status) -> None:
    """Print one fact per line."""
    console = Terminal()
    table = Table(box=None, pad_edge=False, show_header=False)
    champion = "none" if status.champion is None else f"version {status.champion}"
    rows = {
        "model": f"{status.model} in {status.registry}",
        "champion": f"{champion}{f', since {status.since[:19]} UTC' if status.since else ''}",
        "from": f"run {status.run}, commit {status.commit[:12] or 'unknown'}" if status.run else "",
        "previous": "none" if status.previous is None else f"version {status.previous}",
        "newest": f"version {status.newest}, {status.verdict or 'not judged'}" if status.newest else "none",
        "history": f"{status.entries} entries",
        "address": status.uri,
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, cell(value))
    console.print(table)
    for line in status.notes:
        console.print(line, soft_wrap=True)
    for line in status.faults:
        console.print(line, style="red", soft_wrap=True)
