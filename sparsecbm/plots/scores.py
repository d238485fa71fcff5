"""Scores as pictures: confusion matrices, and accuracies with their intervals."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from sparsecbm.evaluate.scores.scores import SplitScores

STYLE = ("seaborn-v0_8-whitegrid", "seaborn-v0_8-colorblind")  # matplotlib's own; seaborn takes a second to import


def plot_confusions(scores: SplitScores, path: Path) -> None:
    """One heat map for the label and each concept: rows gold, columns read, coloured by share of the row."""
    named = {"label": scores.label} | {n: s for n, s in scores.concepts.items() if s.confusion is not None}
    columns = min(3, len(named))
    rows = -(-len(named) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 3.6 * rows), layout="constrained", squeeze=False)
    for axis in axes.flat[len(named) :]:
        axis.set_visible(False)
    for axis, (name, score) in zip(axes.flat, named.items(), strict=False):
        counts = np.array(score.confusion)
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axis.imshow(share, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for (gold, read), count in np.ndenumerate(counts):
            ink = "black" if share[gold, read] > 0.6 else "white"
            axis.text(read, gold, count, ha="center", va="center", color=ink)
        accuracy = "no texts" if score.accuracy is None else f"accuracy {score.accuracy:.3f}"
        axis.set(title=f"{name}: {accuracy}", xlabel="read", ylabel="gold")
        axis.set_xticks(range(len(counts)), score.states)
        axis.set_yticks(range(len(counts)), score.states, rotation=90, va="center")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    figure.suptitle(f"split {scores.split}")
    figure.savefig(path, dpi=100)
    plt.close(figure)


@plt.style.context(STYLE)
def plot_accuracies(scores: SplitScores, path: Path) -> None:
    """Accuracy of the label and each concept with its interval, beside the majority and the bag of words."""
    hard = {"label, hard concepts": scores.label_hard, "label, hard, head refitted": scores.label_hard_refitted}
    named = {"label": scores.label} | {n: s for n, s in hard.items() if s is not None} | scores.concepts
    figure, axis = plt.subplots(figsize=(8, 0.5 * len(named) + 1.4), layout="constrained")
    for position, (name, score) in enumerate(named.items()):
        if score.accuracy is None:
            continue
        axis.plot(score.accuracy_interval, [position] * 2, color="C0", linewidth=3)
        axis.plot(score.accuracy, position, "o", color="C0", label="model, 95 % interval" if position == 0 else None)
        axis.plot(score.majority, position, "x", color="grey", label="majority" if position == 0 else None)
        words = scores.bag_of_words and ({"label": scores.bag_of_words.label} | scores.bag_of_words.concepts).get(name)
        if words is not None:
            axis.plot(words, position, "D", color="C1", label="bag of words" if position == 0 else None)
    axis.set(yticks=range(len(named)), yticklabels=list(named), xlim=(0, 1), xlabel=f"accuracy on {scores.split}")
    axis.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=100)
    plt.close(figure)
