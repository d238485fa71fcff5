"""Drift as a drawing: each figure's effect next to the smallest one that counts."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sparsecbm.plots.style import NEGATIVE, NEUTRAL, Target, figure, short_labels

MOST = 40  # figures in one drawing
FAR = 6.0  # multiples of the bound; larger ones are drawn at the edge


def plot_drift(
    names: Sequence[str], ratios: Sequence[float], drifted: Sequence[bool], target: Target = None, theme: str = "light"
) -> Figure:
    """One bar for each figure: its effect as a multiple of the smallest effect that counts.

    Of many figures, those with the largest effects are drawn.

    Args:
        ratios: effect divided by its bound; a negative one is drawn as 0
        drifted: which figures drifted; they are coloured
        theme: light | dark
    """
    order = sorted(range(len(names)), key=lambda index: -ratios[index])[:MOST]
    with figure(7.5, 0.24 * len(order) + 0.9, target, theme, 120) as drawing:
        axes = drawing.add_subplot()
        for row, index in enumerate(order):
            width = min(max(ratios[index], 0.0), FAR)
            axes.barh(row, width, height=0.7, color=NEGATIVE if drifted[index] else NEUTRAL)
            if ratios[index] > FAR:
                axes.text(FAR, row, f" {ratios[index]:.0f} times", va="center", fontsize=7.5)
        axes.axvline(1, color=NEUTRAL, linestyle="--", linewidth=1)
        axes.set_yticks(range(len(order)), short_labels(names[index] for index in order))
        axes.set(xlim=(0, FAR), ylim=(len(order) - 0.5, -0.5))
        axes.set_xlabel("effect, as a multiple of the smallest that counts")
        axes.grid(visible=False, axis="y")
    return drawing
