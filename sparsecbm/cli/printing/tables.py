"""Tables in the terminal, and results as JSON."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from sparsecbm.cli.printing.terminal import Terminal, cell, say_json

if TYPE_CHECKING:
    from sparsecbm.evaluate.scores.scores import SplitScores


def figures(first: str, *columns: str) -> Table:
    """An empty table: a column of names, which are wrapped but never cut, and right-aligned columns of figures."""
    table = Table(box=None, pad_edge=False)
    table.add_column(cell(first), overflow="fold")
    for column in columns:
        table.add_column(cell(column), justify="right", overflow="fold")
    return table


def share(value: float) -> str:
    """A share as a percentage."""
    return f"{value:.1%}"


def show_json(result: Any) -> None:
    """Print a result dataclass as JSON; concepts and layers keep their order."""
    say_json(asdict(result))


def show_scores(scores: "SplitScores") -> None:
    """Print accuracies with their intervals, next to the majority baseline."""
    table = Table(cell(f"{scores.split}, {scores.texts} texts"), "accuracy", "95 %", "macro-F1", "majority", box=None)
    rows = {"label": scores.label, "label, hard concepts": scores.label_hard, **scores.concepts}
    for name, score in rows.items():
        if score is not None and score.accuracy is not None:
            low, high = score.accuracy_interval
            accuracy, interval = f"{score.accuracy:.3f}", f"{low:.3f} to {high:.3f}"
            table.add_row(cell(name), accuracy, interval, f"{score.macro_f1:.3f}", f"{score.majority:.3f}")
    Terminal().print(table)
