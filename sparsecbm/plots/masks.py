"""Masks as drawings: accuracy under each mask, how much masks share, and where each keeps its weights."""

import re
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from sparsecbm.plots.style import Cells, Target, figure, heat_map

Layers = Mapping[str, Mapping[str, Mapping[str, float]]]  # layer -> density | exclusive -> concept -> share


def plot_swap(scores: Mapping, target: Target = None) -> Figure:
    """Accuracy of each concept's trained head (rows) under the mask of each concept (columns).

    Args:
        scores: `chosen.swap` of `metrics/prune.json`
    """
    return _plot_square(scores, "Trained head of each concept", target)


def plot_probe(scores: Mapping, target: Target = None) -> Figure:
    """Accuracy of a fresh linear probe for each concept (rows) under the mask of each concept (columns).

    Args:
        scores: `chosen.probe` of `metrics/prune.json`
    """
    return _plot_square(scores, "Fresh linear probe for each concept", target)


def plot_overlap(overlap: Mapping, target: Target = None) -> Figure:
    """Jaccard index of every two masks; each cell also says what chance would give.

    Args:
        overlap: `chosen.overlap` of `metrics/prune.json`
    """
    names = list(overlap["exclusive"])
    values = np.full((len(names), len(names)), np.nan)
    texts = np.full(values.shape, "", dtype=object)
    for first, pairs in overlap["pairs"].items():
        for second, pair in pairs.items():
            row, column = names.index(first), names.index(second)
            values[row, column] = values[column, row] = pair["jaccard"]
            texts[row, column] = texts[column, row] = f"{pair['jaccard']:.2f}\nchance {pair['chance']:.2f}"
    with figure(*_square_size(len(names)), target) as drawing:
        axes = drawing.add_subplot()
        heat_map(axes, values, names, names, Cells(texts=texts, meaning="weights in both masks / weights in either"))
        axes.set(
            title=f"Overlap of the masks of two concepts\nall masks keep {overlap['core']:.1%} of the weights",
            xlabel="mask of",
            ylabel="mask of",
        )
    return drawing


def plot_density(layers: Layers, target: Target = None) -> Figure:
    """Share of the weights that each concept (rows) keeps in each layer (columns, by block).

    Args:
        layers: `chosen.layers` of `metrics/prune.json`
    """
    return _plot_layers(layers, "density", "Share of the weights that the mask of each concept keeps", target)


def plot_exclusive(layers: Layers, target: Target = None) -> Figure:
    """Share of the weights that one concept alone keeps (rows) in each layer (columns, by block).

    Args:
        layers: `chosen.layers` of `metrics/prune.json`
    """
    return _plot_layers(layers, "exclusive", "Share of the weights that one concept alone keeps", target)


def _plot_layers(layers: Layers, kind: str, title: str, target: Target) -> Figure:
    by_block: dict[int, dict[str, str]] = {}  # block -> layer -> its part of the block
    for layer in layers:
        block, part = _position(layer)
        by_block.setdefault(block, {})[layer] = part
    order = [layer for block in sorted(by_block) for layer in by_block[block]]
    columns = {f"block {block}": [f"{block} {part}" for part in by_block[block].values()] for block in sorted(by_block)}
    concepts = list(layers[order[0]][kind])
    values = np.array([[layers[layer][kind][name] for layer in order] for name in concepts])
    with figure(0.45 * len(order) + 3.5, 0.35 * len(concepts) + 2.8, target) as drawing:
        axes = drawing.add_subplot()
        limits = (0.0, float(values.max()) or 1.0)
        heat_map(axes, values, concepts, columns, Cells(texts=".1%", meaning="share of weights", limits=limits))
        axes.set(title=title, xlabel="layer, by block", ylabel="concept")
    return drawing


def _plot_square(scores: Mapping, title: str, target: Target) -> Figure:
    names = list(scores["matrix"])
    cells = [[scores["matrix"][concept][mask] for mask in names] for concept in names]
    values = np.array(cells, dtype=float)  # null becomes nan
    gap = scores["gap"]["mean"]
    if gap["value"] is not None:
        title += f"\nown mask minus others: {gap['value']:+.3f}"
        if None not in gap["interval"]:
            title += " (95 % from {:+.3f} to {:+.3f})".format(*gap["interval"])
    with figure(*_square_size(len(names)), target) as drawing:
        axes = drawing.add_subplot()
        heat_map(axes, values, names, names, Cells(texts=".3f", meaning="accuracy"))
        axes.set(title=title, xlabel="under the mask of", ylabel="concept")
    return drawing


def _square_size(concepts: int) -> tuple[float, float]:
    """Width and height, with room for a number in each cell as long as concepts are few."""
    return (1.1 * concepts + 2.6, 0.7 * concepts + 1.6) if concepts <= 12 else (0.3 * concepts + 3, 0.25 * concepts + 3)


def _position(layer: str) -> tuple[int, str]:
    """Number of the block and the part of it, from a name such as `encoder.layer.3.attention.self.query`."""
    number = re.search(r"\.(\d+)\.", layer)
    return int(number.group(1)), layer[number.end() :]
