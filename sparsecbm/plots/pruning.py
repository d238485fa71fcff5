"""A training under masks as a picture."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import seaborn as sns

from sparsecbm.plots.training import plot_validation
from sparsecbm.train.loop import History


def plot_pruning(history: History, path: Path) -> None:
    """Sparsity and training loss by update, and validation accuracy by epoch; the kept epoch is marked."""
    sns.set_theme(style="whitegrid", palette="colorblind")
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    steps = [event["step"] for event in history.events]
    left.step(steps, [event["prune.sparsity"] for event in history.events], where="post", marker=".")
    left.set(xlabel="update", ylabel="sparsity", ylim=(0, 1))
    middle.plot([p["step"] for p in history.curves], [p["train.concept_loss"] for p in history.curves])
    middle.set(xlabel="update", ylabel="concept loss under masks")
    plot_validation(history, right)
    figure.savefig(path, dpi=110)
    plt.close(figure)
