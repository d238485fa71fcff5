"""Explanations as pictures: one text's waterfall, what states do to classes, and where subnetworks lie."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from sparsecbm.base.files import replacing
from sparsecbm.explain.calibration import Calibration
from sparsecbm.explain.contributions import StateEffects, Waterfall
from sparsecbm.explain.subnetworks import Subnetworks

# Pairs and scales that are told apart whatever colours a reader sees, and in grey.
FOR, AGAINST, TOTAL = "#0072b2", "#d55e00", "#7f7f7f"
DIVERGING, SEQUENTIAL = "PuOr", "cividis"
CROWDED = 16  # more columns than this, and cells hold no numbers


def plot_waterfall(waterfall: Waterfall, path: Path) -> None:
    """Bars from the mean training text to this text: blue for the class, orange against it."""
    rows = [("mean of the training texts", waterfall.start, 0.0, waterfall.start, TOTAL)]
    for step in waterfall.steps:
        colour = FOR if step.value >= 0 else AGAINST
        rows.append((f"{step.concept}: {step.state}", step.value, step.before, step.after, colour))
    rows.append(("this text", waterfall.end, 0.0, waterfall.end, TOTAL))
    with _figure(path, 7.5, 0.45 * len(rows) + 1.2) as figure:
        axis = figure.add_subplot()
        for place, (_, value, before, after, colour) in enumerate(rows):
            axis.barh(place, after - before, left=before, color=colour, height=0.7)
            axis.annotate(
                f"{value:.2f}" if colour == TOTAL else f"{value:+.2f}", (max(before, after), place), (4, 0),
                textcoords="offset points", va="center",
            )  # fmt: skip
            if place + 1 < len(rows):  # a thread from the end of each bar to the next
                axis.plot([after, after], [place, place + 1], color=TOTAL, linewidth=0.8, zorder=0)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.use_sticky_edges = False  # room for the numbers at both sides
        axis.margins(x=0.12)
        axis.set_yticks(range(len(rows)), [name for name, *_ in rows])
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
        axis.set(title=f"How the concepts make label {waterfall.label}", xlabel="logit, against the mean of all labels")


def plot_effects(effects: StateEffects, path: Path) -> None:
    """Heat map of states against classes, the same scale either way from 0."""
    table = effects.table()
    limit = float(np.abs(table.to_numpy()).max()) or 1.0
    with _figure(path, 0.9 * table.shape[1] + 3.4, 0.36 * len(table) + 1.4) as figure:
        axis = figure.add_subplot()
        names = [f"{concept}: {state}" for concept, state in table.index]
        _heat(
            axis,
            table.to_numpy(),
            "+.2f",
            names,
            list(table),
            DIVERGING,
            (-limit, limit),
            "effect on the logit",
        )
        sizes = [len(states) for states in effects.values.values()]
        axis.hlines(np.cumsum(sizes)[:-1], 0, table.shape[1], color="black", linewidth=1)  # between concepts
        hard = ", from one-hot concepts" if effects.head == "hard" else ""
        axis.set(title=f"What each state does to the label{hard}", xlabel="label", ylabel="")


def plot_heads(found: Subnetworks, path: Path) -> None:
    """One heat map a concept: the share of each head's weights that its subnetwork keeps, by block.

    Raises:
        ValueError: the heads of the backbone are not known, or none are under masks.
    """
    if not found.heads:
        raise ValueError("no heads to draw: they are not known for this backbone, or none are under masks")
    blocks = {name: np.stack([shares.density for shares in of.values()]) for name, of in found.heads.items()}
    limits = (0, max(float(values.max()) for values in blocks.values()))  # one scale for all concepts
    down, across = next(iter(blocks.values())).shape
    columns = min(2, len(blocks))
    rows = -(-len(blocks) // columns)
    with _figure(path, columns * (0.55 * across + 2), rows * (0.45 * down + 1.4)) as figure:
        for place, (name, values) in enumerate(blocks.items(), start=1):
            axis = figure.add_subplot(rows, columns, place)
            numbers = list(found.heads[name])
            _heat(axis, values, ".2f", numbers, list(range(across)), SEQUENTIAL, limits, "share of weights kept")
            axis.set(title=f"{name}: {found.whole.density[name]:.1%} kept", xlabel="head", ylabel="block")
        figure.suptitle("What each concept's subnetwork keeps of the attention heads")


def plot_calibration(found: Mapping[str, Calibration], path: Path) -> None:
    """One curve a concept: how often its reading is right against how sure it is; the diagonal is perfect."""
    colours = sns.color_palette("colorblind", len(found))
    with _figure(path, 5.4, 4.6) as figure:
        axis = figure.add_subplot()
        axis.plot([0, 1], [0, 1], color=TOTAL, linewidth=0.8, linestyle="--")
        for colour, marker, (name, of) in zip(colours, cycle("osD^vPX"), found.items(), strict=False):
            error = "no gold states" if of.error is None else f"error {of.error:.3f}"
            sizes = np.array([each.texts for each in of.bins], dtype=float)
            sure, right = [each.confidence for each in of.bins], [each.accuracy for each in of.bins]
            axis.plot(sure, right, color=colour, linewidth=1)
            axis.scatter(sure, right, 20 + 180 * sizes / max(sizes.sum(), 1), color=colour, marker=marker)
            axis.plot([], [], color=colour, marker=marker, label=f"{name}: {error}")
        axis.set(
            title="Are concepts as sure as they are right?", xlabel="probability of the state that is read",
            ylabel="share of texts read right", xlim=(0, 1.02), ylim=(0, 1.05),
        )  # fmt: skip
        axis.legend(frameon=False, loc="upper left")
        axis.spines[["top", "right"]].set_visible(False)


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure in the library's default style, whatever was drawn before; written whole when the block ends."""
    path = Path(path)
    with plt.style.context("default", after_reset=True), replacing(path) as temporary:
        figure = Figure(figsize=(width, height), layout="constrained")  # apart from pyplot: nothing has to be closed
        yield figure
        figure.savefig(temporary, dpi=100, format=path.suffix.removeprefix(".") or "png")


def _heat(
    axis: plt.Axes,
    values: np.ndarray,
    form: str,
    rows: list,
    columns: list,
    colours: str,
    limits: tuple,
    meaning: str,
) -> None:
    sns.heatmap(
        values, annot=len(columns) <= CROWDED, fmt=form, annot_kws={"fontsize": 8}, cmap=colours, vmin=limits[0],
        vmax=limits[1], xticklabels=columns, yticklabels=rows, cbar_kws={"label": meaning}, ax=axis,
    )  # fmt: skip
    axis.tick_params(axis="y", rotation=0)
    axis.tick_params(axis="x", rotation=0 if all(len(str(c)) < 12 for c in columns) else 30)
