"""Scores as drawings: confusion matrices, and accuracies with their intervals."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from sparsecbm.plots.style import (
    MAX_INCHES,
    MAX_LABELS,
    MAX_PANELS,
    NEUTRAL,
    PALETTE,
    Cells,
    Target,
    figure,
    heat_map,
    short_labels,
)


def plot_confusions(scores: Mapping, target: Target = None) -> Figure:
    """One heat map for the label and each concept: rows are gold states, columns predicted ones, coloured by row share.

    Of many concepts, the least accurate ones are drawn.

    Args:
        scores: those of one split: `metrics/evaluate.json` as a whole, or an entry of its `splits`
    """
    concepts = {name: score for name, score in scores["concepts"].items() if score["confusion"] is not None}
    width, height = _panel_size(max(len(score["states"]) for score in (scores["label"], *concepts.values())))
    across = min(3, int(MAX_INCHES / width))
    room = min(MAX_PANELS, across * int(MAX_INCHES / height))
    worst = sorted(concepts, key=lambda name: concepts[name]["accuracy"] or 0.0)[: room - 1]
    panels = {"label": scores["label"]} | {name: score for name, score in concepts.items() if name in worst}
    title = f"split {scores['split']}"
    if len(worst) < len(concepts):
        title += f": the label and the {len(worst)} least accurate of {len(concepts)} concepts"
    columns = min(across, len(panels))
    rows = -(-len(panels) // columns)
    with figure(width * columns, height * rows, target) as drawing:
        for number, (name, score) in enumerate(zip(short_labels(panels), panels.values(), strict=True), start=1):
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

    Of many concepts, the least accurate ones are drawn.

    Args:
        scores: those of one split: `metrics/evaluate.json` as a whole, or an entry of its `splits`
    """
    hard = {"label, hard concepts": scores["label_hard"], "label, hard, head refitted": scores["label_hard_refitted"]}
    of_label = {"label": scores["label"]} | {name: score for name, score in hard.items() if score}
    concepts = _least_accurate(scores["concepts"], MAX_LABELS - len(of_label))
    rows = of_label | concepts
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
        axes.set(yticks=range(len(rows)), yticklabels=short_labels(rows), ylim=(len(rows) - 0.5, -0.5), xlim=(0, 1))
        hidden = len(scores["concepts"]) - len(concepts)
        least = f", without the {hidden} most accurate concepts" if hidden else ""
        axes.set_xlabel(f"accuracy on {scores['split']}{least}")
        drawing.legend(loc="outside upper center", ncols=3)
    return drawing


def _panel_size(states: int) -> tuple[float, float]:
    """Width and height of one matrix of confusions, in inches, with a line for the name of each state."""
    more = min(max(states - 10, 0), 30)
    return 4.2 + 0.1 * more, 3.6 + 0.12 * more


def _least_accurate(concepts: Mapping[str, Mapping], most: int) -> dict[str, Mapping]:
    """At most so many concepts, in their order; the mean over all concepts is always one of them."""
    least = sorted((name for name in concepts if name != "mean"), key=lambda name: concepts[name]["accuracy"] or 0.0)
    chosen = {*least[: most - 1], "mean"}
    return {name: score for name, score in concepts.items() if name in chosen}
