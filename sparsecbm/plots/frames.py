"""Drawings of the data frames and the history that the Python interface returns."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import pandas as pd
from matplotlib.figure import Figure

from sparsecbm.plots.style import MAX_LABELS, NEUTRAL, PALETTE, Cells, Target, figure, heat_map, short_labels
from sparsecbm.plots.training import plot_curves


class TrainingHistory(Protocol):
    """What `model.history` holds of a training."""

    @property
    def curves(self) -> Sequence[Mapping[str, float]]: ...

    @property
    def epochs(self) -> Sequence[Mapping[str, float]]: ...

    @property
    def best_step(self) -> int: ...


def plot_history(history: TrainingHistory, target: Target = None) -> Figure:
    """Loss by update and validation accuracy by epoch of `model.history`; a line marks the epoch that was kept."""
    best = next(epoch for epoch in history.epochs if epoch["step"] == history.best_step)
    return plot_curves({"best": best, "curves": history.curves, "epochs": history.epochs}, target)


def plot_matrix(matrix: pd.DataFrame, target: Target = None, title: str = "Accuracy under each mask") -> Figure:
    """A square of accuracies, such as `model.swap_matrix(data)`: concepts in rows, masks in columns."""
    rows, columns = list(map(str, matrix.index)), list(map(str, matrix.columns))
    with figure(0.9 * len(columns) + 3, 0.6 * len(rows) + 1.8, target) as drawing:
        axes = drawing.add_subplot()
        heat_map(axes, matrix.to_numpy(dtype=float), rows, columns, Cells(texts=".3f", meaning="accuracy"))
        axes.set(title=title, xlabel=matrix.columns.name or "", ylabel=matrix.index.name or "")
    return drawing


def plot_scores(scores: pd.DataFrame, target: Target = None) -> Figure:
    """Accuracies of `model.score(data)` with their 95 % intervals, next to the majority.

    Of many concepts, the least accurate ones are drawn.
    """
    shown = scores[scores.index.isin(scores["accuracy"].nsmallest(MAX_LABELS).index)]
    hidden, scores = len(scores) - len(shown), shown
    with figure(8, 0.5 * len(scores) + 1.4, target) as drawing:
        axes = drawing.add_subplot()
        positions = range(len(scores))
        axes.hlines(positions, scores["low"], scores["high"], color=PALETTE[0], linewidth=3)
        axes.plot(scores["accuracy"], positions, "o", color=PALETTE[0], label="model, 95 % interval")
        axes.plot(scores["majority"], positions, "x", color=NEUTRAL, label="majority")
        axes.set(yticks=positions, yticklabels=short_labels(scores.index), xlim=(0, 1))
        axes.set_xlabel(f"accuracy, without the {hidden} most accurate" if hidden else "accuracy")
        axes.set_ylim(len(scores) - 0.5, -0.5)
        drawing.legend(loc="outside upper center", ncols=2)
    return drawing
