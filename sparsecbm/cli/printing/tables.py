"""Tables in the terminal, and results as JSON."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from sparsecbm.evaluate.scores.scores import SplitScores


def plain(text: str) -> str:
    """Escape text so that rich does not interpret it as markup."""
    return text.replace("[", "\\[")


def figures(first: str, *columns: str) -> Table:
    """An empty table: a column of names, which are wrapped but never cut, and right-aligned columns of figures."""
    table = Table(box=None, pad_edge=False)
    table.add_column(plain(first), overflow="fold")
    for column in columns:
        table.add_column(plain(column), justify="right", overflow="fold")
    return table


def share(value: float) -> str:
    """A share as a percentage."""
    return f"{value:.1%}"


def show_json(result: Any) -> None:
    """Print a result dataclass as JSON; concepts and layers keep their order."""
    print(json.dumps(asdict(result), indent=2, ensure_ascii=False, allow_nan=False))


def show_scores(scores: "SplitScores") -> None:
    """Print accuracies with their intervals, next to the majority baseline."""
    table = Table(f"{scores.split}, {scores.texts} texts", "accuracy", "95 %", "macro-F1", "majority", box=None)
    rows = {"label": scores.label, "label, hard concepts": scores.label_hard, **scores.concepts}
    for name, score in rows.items():
        if score is not None and score.accuracy is not None:
            low, high = score.accuracy_interval
            accuracy, interval = f"{score.accuracy:.3f}", f"{low:.3f} to {high:.3f}"
            table.add_row(plain(name), accuracy, interval, f"{score.macro_f1:.3f}", f"{score.majority:.3f}")
    Console(highlight=False).print(table)
