"""Scores as drawings: confusion matrices, and accuracies with their intervals."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from sparsecbm.plots.style import MAX_PANELS, NEUTRAL, PALETTE, Cells, Target, figure, heat_map


def plot_confusions(scores: Mapping, target: Target = None) -> Figure:
    """One heat map for the label and each concept: rows are gold states, columns predicted ones, coloured by row share.

    Of many concepts, the least accurate ones are drawn.

    Args:
        scores: those of one split: `metrics/evaluate.json` as a whole, or an entry of its `splits`
    """
    concepts = {name: score for name, score in scores["concepts"].items() if score["confusion"] is not None}
    worst = sorted(concepts, key=lambda name: concepts[name]["accuracy"] or 0.0)[: MAX_PANELS - 1]
    panels = {"label": scores["label"]} | {name: score for name, score in concepts.items() if name in worst}
    title = f"split {scores['split']}"
    if len(worst) < len(concepts):
        title += f": the label and the {len(worst)} least accurate of {len(concepts)} concepts"
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with figure(4.2 * columns, 3.6 * rows, target) as drawing:
        for number, (name, score) in enumerate(panels.items(), start=1):
            counts = np.array(score["confusion"])
            shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            axes = drawing.add_subplot(rows, columns, number)
            heat_map(axes, shares, score["states"], score["states"], Cells(texts=counts.astype(str)))
            accuracy = "no texts" if score["accuracy"] is None else f"accuracy {score['accuracy']:.3f}"
            axes.set(title=f"{name}: {accuracy}", xlabel="predicted", ylabel="gold")
        drawing.suptitle(title)
    return drawing


def plot_accuracies(scores: Mapping, target: Target = None) -> Figure:
    """Accuracy of the label and each concept with its 95 % interval, next to the majority and the bag of words.

    Args:
        scores: those of one split: `metrics/evaluate.json` as a whole, or an entry of its `splits`
    """
    hard = {"label, hard concepts": scores["label_hard"], "label, hard, head refitted": scores["label_hard_refitted"]}
    rows = {"label": scores["label"]} | {name: score for name, score in hard.items() if score} | scores["concepts"]
    bag = scores["bag_of_words"]
    words = {"label": bag["label"]} | bag["concepts"] if bag else {}
    with figure(8, 0.5 * len(rows) + 1.4, target) as drawing:
        axes = drawing.add_subplot()
        labels = {"model": "model, 95 % interval", "majority": "majority", "words": "bag of words"}
        for position, (name, score) in enumerate(rows.items()):
            if score["accuracy"] is None:
                continue
            axes.plot(score["accuracy_interval"], [position] * 2, color=PALETTE[0], linewidth=3)
            axes.plot(score["accuracy"], position, "o", color=PALETTE[0], label=labels.pop("model", None))
            axes.plot(score["majority"], position, "x", color=NEUTRAL, label=labels.pop("majority", None))
            if words.get(name) is not None:
                axes.plot(words[name], position, "D", color=PALETTE[1], label=labels.pop("words", None))
        axes.set(yticks=range(len(rows)), yticklabels=list(rows), xlim=(0, 1), xlabel=f"accuracy on {scores['split']}")
        axes.invert_yaxis()
        drawing.legend(loc="outside upper center", ncols=3)
    return drawing
