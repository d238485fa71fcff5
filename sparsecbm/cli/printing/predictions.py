"""Predictions in the terminal: one table for each text."""

from rich.table import Table

from sparsecbm.cli.printing.tables import share
from sparsecbm.cli.printing.terminal import Terminal, cell
from sparsecbm.model.prediction import Prediction, StatePrediction


def show_prediction(prediction: Prediction, label: str) -> None:
    """Print a text, and for its label and each concept the states, the most probable one first.

    Args:
        label: the label's name
    """
    console = Terminal()
    console.print(prediction.text, style="bold")
    table = Table("", "predicted", "other states", box=None, pad_edge=False)
    for name, variable in {f"{label} (label)": prediction.label, **prediction.concepts}.items():
        first, *others = _by_probability(variable)
        table.add_row(cell(name), cell(first), cell(", ".join(others)))
    console.print(table)


def _by_probability(variable: StatePrediction) -> list[str]:
    """The states with their probabilities, the predicted one first."""
    others = {state: p for state, p in variable.probabilities.items() if state != variable.state}
    ordered = [variable.state, *sorted(others, key=lambda state: -others[state])]
    return [f"{state} {share(variable.probabilities[state])}" for state in ordered]
