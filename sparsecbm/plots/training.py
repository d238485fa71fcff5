"""The training as a picture."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes

from sparsecbm.train.loop import History


def plot_curves(history: History, path: Path) -> None:
    """Loss by update and validation accuracy by epoch, side by side; the kept epoch is marked."""
    sns.set_theme(style="whitegrid", palette="colorblind")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for name, title in (("train.loss", "total"), ("train.label_loss", "label"), ("train.concept_loss", "concepts")):
        left.plot([p["step"] for p in history.curves], [p[name] for p in history.curves], label=title)
    left.set(xlabel="update", ylabel="training loss")
    left.legend()
    plot_validation(history, right)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_validation(history: History, axes: Axes) -> None:
    """Validation accuracy of the label and of the concepts by epoch; the kept epoch is marked."""
    for name, title in (("validation.label.accuracy", "label"), ("validation.concepts.mean.accuracy", "concepts")):
        if name in history.epochs[0]:
            axes.plot([e["step"] for e in history.epochs], [e[name] for e in history.epochs], marker="o", label=title)
    axes.axvline(history.best_step, color="grey", linestyle="--", label="kept")
    axes.set(xlabel="update", ylabel="validation accuracy", ylim=(0, 1))
    axes.legend()
