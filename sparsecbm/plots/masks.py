"""Masks as pictures: who reads what under whose mask, how much masks share, and where weights are kept."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from sparsecbm.evaluate.specificity.specificity import OverlapScores, SquareScores
from sparsecbm.model.masks import MaskSet

COLOURS = "cividis"  # even steps of lightness, and the same to those who cannot tell red from green
CROWDED = 12  # more columns than this, and cells hold no numbers


def plot_swap(scores: SquareScores, path: Path) -> None:
    """Heat map: accuracy of each concept's own head under the mask of each concept."""
    _plot_square(scores, "Each concept read by its trained head", path)


def plot_probe(scores: SquareScores, path: Path) -> None:
    """Heat map: accuracy of a fresh probe for each concept under the mask of each concept."""
    _plot_square(scores, "Each concept read by a fresh linear probe", path)


def plot_overlap(scores: OverlapScores, path: Path) -> None:
    """Heat map: Jaccard of every two masks, with what chance would give in the cell."""
    names = list(scores.exclusive)
    values = np.full((len(names), len(names)), np.nan)
    texts = np.full(values.shape, "", dtype=object)
    for first, pairs in scores.pairs.items():
        for second, pair in pairs.items():
            for cell in ((names.index(first), names.index(second)), (names.index(second), names.index(first))):
                values[cell] = pair.jaccard
                texts[cell] = f"{pair.jaccard:.2f}\nchance {pair.chance:.2f}"
    with _figure(path, len(names), len(names)) as (_, axis):
        _heat(axis, values, texts, names, names, "weights both keep / weights either keeps")
        axis.set(
            title=f"How much the masks of two concepts share\nall keep {scores.core:.1%} of the weights",
            xlabel="mask of",
            ylabel="mask of",
        )


def plot_density(masks: MaskSet, path: Path) -> None:
    """One heat map a concept: the share of weights kept, by block (columns) and by the part of it (rows)."""
    places = {layer: _place(layer) for layer in masks.shapes}
    columns = sorted({block for block, _ in places.values()})
    rows = list(dict.fromkeys(part for _, part in places.values()))
    across = min(2, len(masks))
    down = -(-len(masks) // across)
    with _figure(path, across * len(columns) * 0.7, down * len(rows) * 0.7, across, down) as (figure, *axes):
        for axis in axes[len(masks) :]:
            axis.set_visible(False)
        for axis, mask in zip(axes, masks, strict=False):
            values = np.full((len(rows), len(columns)), np.nan)
            for layer, density in mask.density_by_layer().items():
                block, part = places[layer]
                values[rows.index(part), columns.index(block)] = density
            _heat(axis, values, _written(values, ".2f"), rows, columns, "share of weights kept")
            axis.set(
                title=f"{mask.name}: {mask.density:.1%} kept", xlabel="transformer block", ylabel="part of the block"
            )
        figure.suptitle("Which weights the mask of each concept keeps")


def _plot_square(scores: SquareScores, title: str, path: Path) -> None:
    names = list(scores.matrix)
    cells = [[scores.matrix[concept][mask] for mask in names] for concept in names]
    values = np.array(cells, dtype=float)  # null becomes nan
    gap = scores.gap["mean"]
    lead = "" if gap.value is None else f"\nown mask minus others: {gap.value:+.3f}"
    if gap.value is not None and None not in gap.interval:
        lead += f" (95 % from {gap.interval[0]:+.3f} to {gap.interval[1]:+.3f})"
    with _figure(path, len(names), len(names)) as (_, axis):
        _heat(axis, values, _written(values, ".3f"), names, names, "accuracy")
        axis.set(title=title + lead, xlabel="under the mask of", ylabel="concept that is read")


@contextmanager
def _figure(path: Path, columns: float, rows: float, across: int = 1, down: int = 1) -> Iterator[tuple]:
    """A figure and its axes in the library's default style, whatever was drawn before; saved when the block ends."""
    with plt.style.context("default", after_reset=True):
        size = (1.1 * columns + 2.6 * across, 0.7 * rows + 1.6 * down)
        figure, axes = plt.subplots(down, across, figsize=size, layout="constrained", squeeze=False)
        try:
            yield (figure, *axes.flat)
            figure.savefig(path, dpi=100)
        finally:
            plt.close(figure)


def _written(values: np.ndarray, form: str) -> np.ndarray:
    return np.array([[format(value, form) for value in row] for row in values], dtype=object)


def _heat(axis: plt.Axes, values: np.ndarray, texts: np.ndarray, rows: list, columns: list, meaning: str) -> None:
    sns.heatmap(
        values, annot=texts if len(columns) <= CROWDED else None, fmt="", cmap=COLOURS, vmin=0, vmax=1, ax=axis,
        xticklabels=columns, yticklabels=rows, cbar_kws={"label": meaning},
    )  # fmt: skip
    axis.tick_params(axis="y", rotation=0)
    axis.tick_params(axis="x", rotation=0 if all(len(str(c)) < 12 for c in columns) else 30)


def _place(layer: str) -> tuple[int, str]:
    """Number of the block and the part of it, from a name such as `encoder.layer.3.attention.self.query`."""
    number = re.search(r"\.(\d+)\.", layer)
    return int(number.group(1)), layer[number.end() :]
