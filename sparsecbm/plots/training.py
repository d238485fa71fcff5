"""Trainings as drawings: losses, sparsity and validation scores by update."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsecbm.plots.style import NEUTRAL, SERIES, Target, figure

LOSSES = {"train.loss": "total", "train.label_loss": "label", "train.concept_loss": "concepts"}
SCORES = {"validation.label.accuracy": "label", "validation.concepts.mean.accuracy": "concepts"}


def plot_curves(record: Mapping, target: Target = None) -> Figure:
    """Loss by update and validation accuracy by epoch; a line marks the epoch that was kept.

    Args:
        record: content of `metrics/finetune.json`
    """
    with figure(10, 3.6, target) as drawing:
        left, right = drawing.subplots(1, 2)
        for (name, title), style in zip(LOSSES.items(), SERIES, strict=False):
            left.plot(*_series(record["curves"], name), color=style["color"], label=title)
        left.set(xlabel="update", ylabel="training loss")
        left.legend()
        _plot_validation(right, record)
    return drawing


def plot_pruning(record: Mapping, target: Target = None) -> Figure:
    """Sparsity and concept loss by update; of several epochs also the validation accuracy, a line marks the kept one.

    Args:
        record: content of `metrics/prune.json` of a model with masks
    """
    panels = 3 if len(record["epochs"]) > 1 else 2
    with figure(13 if panels == 3 else 10, 3.6, target) as drawing:
        left, middle, *rest = drawing.subplots(1, panels)
        left.step(*_series(record["events"], "prune.sparsity"), where="post", marker=".", color=SERIES[0]["color"])
        left.set(xlabel="update", ylabel="sparsity", ylim=(0, 1))
        middle.plot(*_series(record["curves"], "train.concept_loss"), color=SERIES[0]["color"])
        middle.set(xlabel="update", ylabel="concept loss under masks")
        for right in rest:
            _plot_validation(right, record)
    return drawing


def _plot_validation(axes: Axes, record: Mapping) -> None:
    for (name, title), style in zip(SCORES.items(), SERIES, strict=False):
        if name in record["epochs"][0]:
            axes.plot(*_series(record["epochs"], name), label=title, **style)
    axes.axvline(record["best"]["step"], color=NEUTRAL, linestyle="--", label="kept")
    axes.set(xlabel="update", ylabel="validation accuracy", ylim=(0, 1))
    axes.legend()


def _series(points: Sequence[Mapping], name: str) -> tuple[list, list]:
    """Updates and values of one figure; points without it are left out."""
    chosen = [point for point in points if name in point]
    return [point["step"] for point in chosen], [point[name] for point in chosen]
