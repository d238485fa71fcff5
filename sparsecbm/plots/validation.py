"""Data as drawings: the balance of each variable and the lengths of texts, on a light or a dark page."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from sparsecbm.plots.style import INK, Target, category_colours, figure, ink_on, short_labels

MISSING = "missing"
MISSING_GREY = {"light": "#d0d0d0", "dark": "#4a4a4a"}
NARROW = 0.09  # a bar of a smaller share has no room for a number
BINS = 25
WIDTH = 4.4  # inches
DPI = 160  # the page scales these drawings to its columns


def plot_shares(
    title: str, counts: Mapping[str, Mapping[str, int]], target: Target = None, theme: str = "light"
) -> Figure:
    """One horizontal bar for each row, divided by the share of each state; `missing` is hatched grey.

    Args:
        counts: row -> state -> count; every row has the same states
        theme: light | dark; colours of states are the same in both
    """
    states = list(next(iter(counts.values())))
    colours = category_colours([state for state in states if state != MISSING]) | {MISSING: MISSING_GREY[theme]}
    names = dict(zip(states, short_labels(states), strict=True))
    legend_columns = _legend_columns(list(names.values()))
    height = 0.75 + 0.36 * len(counts) + 0.24 * -(-len(states) // legend_columns)
    with figure(WIDTH, height, target, theme, DPI) as drawing:
        axes = drawing.add_subplot()
        for row, by_state in enumerate(counts.values()):
            total, left = max(sum(by_state.values()), 1), 0.0
            for state, count in by_state.items():
                share, missing = count / total, state == MISSING
                axes.barh(
                    row, share, left=left, height=0.72, color=colours[state], linewidth=0,
                    hatch="////" if missing else None, edgecolor="#8a8a8a" if missing else "none",
                    label=names[state] if row == 0 else None,
                )  # fmt: skip
                if share >= NARROW:
                    ink = INK[theme] if missing else ink_on(colours[state])
                    axes.text(left + share / 2, row, f"{share:.0%}", ha="center", va="center", fontsize=7.5, color=ink)
                left += share
        axes.set_yticks(range(len(counts)), list(counts))
        axes.set(xlim=(0, 1), xticks=[])
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(*short_labels([title]), loc="left", fontweight="bold")
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.42, -0.02), ncols=legend_columns, fontsize=8, handlelength=1,
            handleheight=1, columnspacing=1.2,
        )  # fmt: skip
    return drawing


def plot_lengths(
    title: str, lengths: Mapping[str, np.ndarray], unit: str, target: Target = None, theme: str = "light"
) -> Figure:
    """The distribution of lengths, as shares of each split's texts: a line for each split, over the same bins.

    Args:
        lengths: split -> length of each text
        theme: light | dark; colours of splits are the same in both
    """
    longest = max(int(values.max()) for values in lengths.values())
    width = max(1, -(-(longest + 1) // BINS))  # whole units, so that every bin holds equally many lengths
    edges = np.arange(0, longest + 1 + width, width)
    colours = category_colours(list(lengths))
    with figure(WIDTH, 2.3, target, theme, DPI) as drawing:
        axes = drawing.add_subplot()
        for name, values in lengths.items():
            counts, _ = np.histogram(values, bins=edges)
            axes.stairs(counts / len(values), edges, color=colours[name], linewidth=1.6, label=name)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set(xlabel=unit, ylabel="share of texts")
        axes.set_ylim(bottom=0)
        axes.spines[:].set_visible(False)
        axes.set_title(title, loc="left", fontweight="bold")
        axes.legend(fontsize=8)
    return drawing


def _legend_columns(labels: list[str]) -> int:
    """The most columns of a legend that fit into the width; a legend is filled column by column."""

    def width(columns: int) -> float:
        rows = -(-len(labels) // columns)
        longest = [max(map(len, labels[start : start + rows])) for start in range(0, len(labels), rows)]
        return sum(0.4 + 0.07 * letters for letters in longest)  # inches: a handle, and letters of 8 points

    most = len(labels) if len(labels) <= 6 else 4
    return max((columns for columns in range(1, most + 1) if width(columns) <= WIDTH), default=1)
